"""The result of a benchmark: values of several runs, the yardstick beside each, and the target of their ratio. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """`values`: one per run, in `unit`. `yards`: the `yardstick` beside each, in the same unit.

    Without a yardstick, the values are ratios or counts themselves. `better`: the good side of `target`, which is None
    if nothing is promised. Targets are half as much again as the median that was seen beside other work (2 cores).
    """

    what: str
    unit: str
    target: float | None
    values: Sequence[float]
    yardstick: str = ""
    yards: Sequence[float] = ()
    better: Literal["lower", "higher"] = "lower"

    @property
    def ratios(self) -> Sequence[float]:
        if not self.yardstick:
            return self.values
        return [value / yard for value, yard in zip(self.values, self.yards, strict=True)]

    @property
    def is_reached(self) -> bool:
        if self.target is None:
            return True
        ratio = statistics.median(self.ratios)
        return ratio <= self.target if self.better == "lower" else ratio >= self.target

    @property
    def seen(self) -> str:
        """The values, as seen here."""
        return f"{_spread(self.values)} {self.unit}".rstrip()

    @property
    def compared(self) -> str:
        """The ratios to the yardstick; empty without one."""
        return _spread(self.ratios) if self.yardstick else ""

    @property
    def aim(self) -> str:
        """The target; empty if nothing is promised."""
        sign = "≤" if self.better == "lower" else "≥"
        return "" if self.target is None else f"{sign} {self.target:,.4g}"

    @property
    def verdict(self) -> str:
        if self.target is None:
            return "informative"
        return "met" if self.is_reached else "MISSED"

    def __str__(self) -> str:
        ratio = f"{self.compared} of {self.yardstick}" if self.yardstick else ""
        return ", ".join(filter(None, [f"{self.what}: {self.seen}", ratio, f"{self.aim} {self.verdict}".strip()]))


def _spread(values: Sequence[float]) -> str:
    """The median, and the least and the greatest value if they differ."""
    median, *ends = (f"{value:,.4g}" for value in (statistics.median(values), min(values), max(values)))
    return median if set(ends) == {median} else f"{median} ({ends[0]} to {ends[1]})"
