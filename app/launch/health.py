"""Which processes keep dying: pure, from one list of states to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from app.launch.supervision import ProcessState

TELL_EVERY_SECONDS = 15.0


@dataclass(slots=True)
class _Seen:
    started_s: int = 0
    starts: int = 0
    told_s: float = float("-inf")
    told_deaths: int = 0


class Watch:
    """Counts every process's deaths."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def deaths(self, states: Iterable[ProcessState], now_s: float) -> list[tuple[ProcessState, int]]:
        """The processes that died since they were last told of, with how often in all; each at most every 15 s."""
        counted = [(state, self._count(state)) for state in states]
        return [(state, deaths) for state, deaths in counted if self._is_due(self._seen[state.name], deaths, now_s)]

    def _count(self, state: ProcessState) -> int:
        seen = self._seen.setdefault(state.name, _Seen())
        if state.started_s != seen.started_s:
            seen.started_s = state.started_s
            seen.starts += 1
        return seen.starts - (1 if state.pid else 0) if seen.starts else 0

    def _is_due(self, seen: _Seen, deaths: int, now_s: float) -> bool:
        due = deaths > seen.told_deaths and now_s - seen.told_s >= TELL_EVERY_SECONDS
        if due:
            seen.told_s, seen.told_deaths = now_s, deaths
        return due
