"""How often exits of a program are reported."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.util.backoff import Backoff


@dataclass(slots=True)
class ExitReports:
    """Reports of the exits of one program: the first at once, the next after 15 s, then ever more rarely."""

    _reported: int = 0
    _next_s: float = float("-inf")
    _backoff: Backoff = field(default_factory=lambda: Backoff(first_s=15.0, max_s=300.0))

    def is_due(self, exits: int, now_s: float) -> bool:
        """Whether to report now that there were `exits` in all; false if that was reported before."""
        due = exits > self._reported and now_s >= self._next_s
        if due:
            self._reported, self._next_s = exits, now_s + self._backoff.next_s()
        return due
