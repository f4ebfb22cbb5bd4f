"""Assumptions about time. Pure."""

from __future__ import annotations

from app.doctor.coinbase.assumption import Assumption
from app.doctor.coinbase.evidence import Frame, Response
from app.doctor.finding import Problems, Verdict, counted, verdict
from app.exchange.adapter import Connected, FeedEvent

_CLOCKS_MS = 2_000
_MACHINE_MS = 60_000
_FIRST_MS = 5_000
_AFTER_MS = 3_000
"""A frame that comes so long after a response was sent after it, however long it was on its way."""


class ClockForward(Assumption):
    name = "clock-forward"
    used_for = "The exchange's time decides when buckets end; a step back is not trusted until a second frame agrees."

    def __init__(self) -> None:
        self._last_ms: dict[str, int] = {}
        self._frames = 0
        self._steps_back = Problems()

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, Connected):
            self._last_ms.pop(event.connection, None)

    def frame(self, frame: Frame) -> None:
        if frame.envelope is None:
            return
        self._frames += 1
        before_ms, now_ms = self._last_ms.get(frame.connection, 0), frame.envelope.time_ms
        if now_ms < before_ms:
            self._steps_back.add(f"{(before_ms - now_ms) / 1000:.3f} s in a frame of {frame.envelope.channel}")
        self._last_ms[frame.connection] = max(before_ms, now_ms)

    def conclusion(self) -> tuple[str, Verdict]:
        back = self._steps_back
        seen = f"{counted(self._frames, 'frame')}, {counted(len(back), 'step back', 'steps back')}{back}"
        return seen, verdict(self._frames, not back)


class ClocksAgree(Assumption):
    """REST's time must lie between those of a frame before the request and of a frame after the response."""

    name = "clocks-agree"
    used_for = "Whether a response of REST is settled is decided by the stream's time."

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int]] = []  # REST's time, and when the response came (local)
        self._most_ahead_ms: int | None = None
        self._least_ahead_ms: int | None = None

    def response(self, response: Response) -> None:
        body = response.body if response.path == "/time" and response.is_fine else None
        text = str(body.get("epochMillis")) if isinstance(body, dict) else ""
        if text.isdecimal() and response.sent_exchange_ms:
            self._waiting.append((int(text), response.received_local_ms))
            most_ms = int(text) - response.sent_exchange_ms
            self._most_ahead_ms = most_ms if self._most_ahead_ms is None else min(self._most_ahead_ms, most_ms)

    def frame(self, frame: Frame) -> None:
        if frame.envelope is None:
            return
        while self._waiting and frame.local_ms >= self._waiting[0][1] + _AFTER_MS:
            least_ms = self._waiting.pop(0)[0] - frame.envelope.time_ms
            self._least_ahead_ms = least_ms if self._least_ahead_ms is None else max(self._least_ahead_ms, least_ms)

    def conclusion(self) -> tuple[str, Verdict]:
        most_ms, least_ms = self._most_ahead_ms, self._least_ahead_ms
        if most_ms is None or least_ms is None:
            return "no response of /time between two frames: too short", Verdict.UNSEEN
        seen = f"REST's clock is between {least_ms / 1000:.1f} and {most_ms / 1000:.1f} s ahead of the stream's"
        return seen, verdict(True, most_ms >= -_CLOCKS_MS and least_ms <= _CLOCKS_MS)


class MachineClock(Assumption):
    """Takes the smallest difference of the first frames: some may wait before they are read."""

    name = "machine-clock"
    used_for = "Certificates and log lines use this machine's clock; no candle does."

    def __init__(self) -> None:
        self._began_local_ms: int | None = None
        self._ahead_ms: int | None = None

    def frame(self, frame: Frame) -> None:
        if frame.envelope is None:
            return
        self._began_local_ms = frame.local_ms if self._began_local_ms is None else self._began_local_ms
        if frame.local_ms - self._began_local_ms <= _FIRST_MS:
            ahead_ms = frame.wall_ms - frame.envelope.time_ms
            self._ahead_ms = ahead_ms if self._ahead_ms is None else min(ahead_ms, self._ahead_ms, key=abs)

    def conclusion(self) -> tuple[str, Verdict]:
        if self._ahead_ms is None:
            return "no frame came", Verdict.UNSEEN
        way = "ahead of" if self._ahead_ms >= 0 else "behind"
        seen = f"at the beginning, this machine was {abs(self._ahead_ms) / 1000:.2f} s {way} the exchange"
        return seen, verdict(True, abs(self._ahead_ms) <= _MACHINE_MS)
