"""Exchange time of one connection: when buckets are decided, and when the time is published. Pure.

Every time here is the exchange's, in milliseconds unless the name says otherwise.
"""

from __future__ import annotations

from app.exchange.adapter import ClockTick
from app.exchange.buckets import STEP_S
from app.exchange.clock import Observation, StreamClock
from app.market.timeframes import BASE

_TICK_MS = 250
_SOON_MS = 2_000
"""The end of a bucket is at least this near: two heartbeats away."""


class StreamTime:
    """Fed with the time of each frame; decides buckets `grace_ms` after their end."""

    def __init__(self, grace_ms: int) -> None:
        self._grace_ms = grace_ms
        self._clock = StreamClock()
        self._published_ms = 0
        self._sweep_ms = 0  # when buckets are decided next
        self._heartbeat_ms = 0  # the time of the last heartbeat
        self._stride_ms = 0  # from one heartbeat to the next

    @property
    def ms(self) -> int | None:
        """The exchange's time; None if this connection has not shown it yet."""
        return self._clock.ms

    @property
    def open_s(self) -> int | None:
        """Start of the open bucket (UNIX seconds)."""
        return None if self.ms is None else BASE.bucket(self.ms // 1000)

    @property
    def expects_closes(self) -> bool:
        """Whether the next frame may close buckets."""
        soon_ms = max(_SOON_MS, 2 * self._stride_ms)
        return self.ms is None or self.ms >= self._sweep_ms - self._grace_ms - soon_ms

    def observe(self, frame_ms: int, *, heartbeat: bool) -> Observation:
        """Take in the time of one frame."""
        change = self._clock.observe(frame_ms, heartbeat=heartbeat)
        if heartbeat:
            # A second, or a minute if the exchange runs at 60 times the pace.
            self._stride_ms = max(abs(frame_ms - self._heartbeat_ms) if self._heartbeat_ms else 0, self._stride_ms // 2)
            self._heartbeat_ms = frame_ms
        if change not in (Observation.NONE, Observation.ADVANCED):
            self._sweep_ms = 0
        return change

    def tick(self) -> ClockTick | None:
        """The time to publish; None if it was published a moment ago."""
        if self.ms is None or abs(self.ms - self._published_ms) < _TICK_MS:
            return None
        self._published_ms = self.ms
        return ClockTick(self.ms)

    def due_end_s(self) -> int | None:
        """The bucket start before which all buckets are due (UNIX seconds), each returned once; None if none is."""
        if self.ms is None or self.ms < self._sweep_ms:
            return None
        end_s = BASE.bucket((self.ms - self._grace_ms) // 1000)
        self._sweep_ms = (end_s + STEP_S) * 1000 + self._grace_ms
        return end_s

    def disconnected(self) -> None:
        """The connection ended."""
        self._clock.disconnected()
