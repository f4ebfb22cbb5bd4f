"""Counts exits of processes. Pure, from one list of states to the next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from app.launch.supervision import ProcessState
from app.util.backoff import Backoff

FIRST_PAUSE_S = 15.0
MAX_PAUSE_S = 300.0


@dataclass(slots=True)
class _Exits:
    started_s: int = 0
    starts: int = 0
    reported_deaths: int = 0
    next_s: float = float("-inf")
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=FIRST_PAUSE_S, max_s=MAX_PAUSE_S))


class ExitCounter:
    """Counts every process's exits."""

    def __init__(self) -> None:
        self._exits: dict[str, _Exits] = {}

    def deaths(self, states: Iterable[ProcessState], now_s: float) -> list[tuple[ProcessState, int]]:
        """Processes that exited since they were last reported, each with its total of exits.

        Each is reported at once, then after 15 s, then ever more rarely.
        """
        deaths_by_state = [(state, self._count(state)) for state in states]
        return [
            (state, deaths) for state, deaths in deaths_by_state if self._is_due(self._exits[state.name], deaths, now_s)
        ]

    def _count(self, state: ProcessState) -> int:
        exits = self._exits.setdefault(state.name, _Exits())
        if state.started_s != exits.started_s:
            exits.started_s = state.started_s
            exits.starts += 1
        return exits.starts - (1 if state.pid else 0) if exits.starts else 0

    def _is_due(self, exits: _Exits, deaths: int, now_s: float) -> bool:
        due = deaths > exits.reported_deaths and now_s >= exits.next_s
        if due:
            exits.reported_deaths, exits.next_s = deaths, now_s + exits.backoff.next_s()
        return due
