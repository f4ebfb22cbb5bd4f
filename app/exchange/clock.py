"""The exchange's clock, read from its frames. The machine's clock is not used."""

from __future__ import annotations

from enum import Enum, auto

LEAP_MS = 5 * 60 * 1000
"""A step of more than this, or backwards, is trusted only if a second frame agrees."""


class Observation(Enum):
    """The effect of one observation."""

    NONE = auto()
    KNOWN = auto()
    """The first time of this connection."""
    ADVANCED = auto()
    LEAPT = auto()
    SET_BACK = auto()


class StreamClock:
    """Exchange time of one connection. `ms` is None until it is known.

    Heartbeats arrive every second of the exchange's host, whatever the pace of its clock, so a healthy connection moves
    in small steps. A leap needs the next heartbeat to agree; the first time of a new connection, if far from the last
    one known, needs any second frame to agree.
    """

    def __init__(self) -> None:
        self.ms: int | None = None
        self._before: int | None = None
        self._candidate: int | None = None

    def disconnected(self) -> None:
        """The connection ended: the next one must deliver the time again."""
        self._before = self.ms if self.ms is not None else self._before
        self.ms = self._candidate = None

    def observe(self, ms: int, *, heartbeat: bool) -> Observation:
        """Process the time of one frame."""
        if self.ms is None:
            return self._first(ms)
        if _follows(self.ms, ms):
            self._candidate = None
            if ms == self.ms:
                return Observation.NONE
            self.ms = ms
            return Observation.ADVANCED
        if heartbeat and self._candidate is not None and _follows(self._candidate, ms):
            change = Observation.LEAPT if ms > self.ms else Observation.SET_BACK
            self.ms, self._candidate = ms, None
            return change
        self._candidate = ms
        return Observation.NONE

    def _first(self, ms: int) -> Observation:
        near = self._before is None or abs(ms - self._before) <= LEAP_MS
        if near or (self._candidate is not None and _follows(self._candidate, ms)):
            # Another server may be a little behind; that must not turn time back.
            self.ms = max(ms, self._before) if near and self._before is not None else ms
            self._candidate = None
            return Observation.KNOWN
        self._candidate = ms
        return Observation.NONE


def _follows(earlier: int, later: int) -> bool:
    return 0 <= later - earlier <= LEAP_MS
