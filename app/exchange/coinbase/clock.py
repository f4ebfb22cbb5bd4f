"""The exchange's clock, as its frames tell it. The machine's own clock plays no part."""

from __future__ import annotations

from enum import Enum, auto

LEAP_MS = 5 * 60 * 1000
"""A step of more than this, or backwards, is believed only when a second frame agrees."""


class Observation(Enum):
    """What one observation did to the clock."""

    NONE = auto()
    KNOWN = auto()
    """The first time of this connection."""
    ADVANCED = auto()
    LEAPT = auto()
    SET_BACK = auto()


class StreamClock:
    """Exchange time of one connection. `ms` is None until it is known.

    Heartbeats come every second of the exchange's host, whatever pace its clock runs at, so a connection that is well
    moves in small steps. A leap needs the next heartbeat to agree; the first time of a new connection, where it is far
    from the last one known, needs any second frame.
    """

    def __init__(self) -> None:
        self.ms: int | None = None
        self._before: int | None = None
        self._candidate: int | None = None

    def disconnected(self) -> None:
        """The connection ended: its successor has to tell the time anew."""
        self._before = self.ms if self.ms is not None else self._before
        self.ms = self._candidate = None

    def observe(self, ms: int, *, heartbeat: bool) -> Observation:
        """Take in the time of one frame."""
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
