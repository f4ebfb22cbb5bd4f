"""The result of a benchmark: values of several runs, and the target. Pure."""

from __future__ import annotations

import statistics
from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """`values`: one per run, in `unit`. `better`: the good side of `target`."""

    what: str
    unit: str
    target: float
    values: list[float]
    better: Literal["lower", "higher"] = "lower"

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest value."""
        return min(self.values), max(self.values)

    @property
    def is_reached(self) -> bool:
        return self.median <= self.target if self.better == "lower" else self.median >= self.target

    def __str__(self) -> str:
        least, most = self.spread
        sign = "≤" if self.better == "lower" else "≥"
        seen = f"{self.median:,.5g} {self.unit} ({least:,.5g} to {most:,.5g} in {len(self.values)} runs)"
        return f"{self.what}: {seen}, target {sign} {self.target:,.5g}{'' if self.is_reached else ': MISSED'}"
