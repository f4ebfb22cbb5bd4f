"""What was found about one assumption. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

MAX_EXAMPLES = 3


class Verdict(StrEnum):
    """Whether an assumption holds, as far as it was observed."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNSEEN = "not seen"


class Finding(NamedTuple):
    """The observation of one assumption, with numbers. `used_for`: what the software does with it."""

    name: str
    used_for: str
    seen: str
    verdict: Verdict


def verdict(is_seen: object, is_fine: object) -> Verdict:
    """The verdict of an assumption that `is_fine` says holds, if anything was seen of it."""
    if not is_seen:
        return Verdict.UNSEEN
    return Verdict.HOLDS if is_fine else Verdict.FAILS


def counted(number: int, one: str, many: str = "") -> str:
    """`1 frame`, `12,345 frames`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class Problems:
    """Counts problems, and keeps the first few. Its text has them in parentheses; it is empty if there are none."""

    def __init__(self, problems: Iterable[str] = ()) -> None:
        self._count = 0
        self._first: list[str] = []
        for problem in problems:
            self.add(problem)

    def add(self, problem: str) -> None:
        self._count += 1
        if self._count <= MAX_EXAMPLES:
            self._first.append(problem)

    def __len__(self) -> int:
        return self._count

    def __str__(self) -> str:
        more = f"; {self._count - MAX_EXAMPLES:,} more" if self._count > MAX_EXAMPLES else ""
        return f" ({'; '.join(self._first)}{more})" if self._count else ""


def named(names: Iterable[str]) -> str:
    """`BTC-USD, ETH-USD, SOL-USD and 4 more`."""
    listed = list(names)
    more = f" and {len(listed) - MAX_EXAMPLES} more" if len(listed) > MAX_EXAMPLES else ""
    return ", ".join(listed[:MAX_EXAMPLES]) + more
