"""The exchange's clock: starts in any year, runs at any speed, can be set and paused."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import InvalidInput

MAX_SPEED = 100_000.0
_LATEST_MS = 4_102_444_800_000  # 2100-01-01: every start of a bucket still fits 32 bits


class ExchangeClock:
    """Exchange time = base + (monotonic time since then) * speed. Safe to use from any thread."""

    def __init__(self, base_ms: int, speed: float = 1.0, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._state = (_checked_time(base_ms) * 1_000_000, monotonic_ns(), _checked_speed(speed))

    def now_ns(self) -> int:
        """Exchange time, nanoseconds since the epoch."""
        base_ns, since_ns, speed = self._state
        return base_ns + int((self._monotonic_ns() - since_ns) * speed)

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000

    @property
    def speed(self) -> float:
        """Exchange seconds in one real second; 0 while paused."""
        return self._state[2]

    def set(self, time_ms: int) -> None:
        """Continue from `time_ms`."""
        self._state = (_checked_time(time_ms) * 1_000_000, self._monotonic_ns(), self.speed)

    def jump(self, by_ms: int) -> None:
        self.set(self.now_ms() + by_ms)

    def set_speed(self, speed: float) -> None:
        """Continue at another speed from the present time; 0 pauses."""
        self._state = (self.now_ns(), self._monotonic_ns(), _checked_speed(speed))

    def real_seconds_until(self, time_ms: int) -> float:
        """Real seconds until the clock shows `time_ms`; infinite while paused."""
        if not self.speed:
            return float("inf")
        return max(0.0, (time_ms * 1_000_000 - self.now_ns()) / 1e9 / self.speed)


class Anchor(BaseModel):
    """A pair of exchange time and wall time, so that a market continues across restarts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_ms: int = Field(ge=0, le=_LATEST_MS)
    wall_anchor_ms: int = Field(ge=0)
    opened_ms: int = Field(ge=0, le=_LATEST_MS)
    speed: float = Field(ge=0, le=MAX_SPEED)

    def exchange_ms(self, wall_ms: int) -> int:
        return self.base_ms + int((wall_ms - self.wall_anchor_ms) * self.speed)


def anchored(path: Path, start_ms: int, speed: float, wall_ms: int) -> Anchor:
    """The anchor stored in `path`, or a new one at `start_ms`, written there.

    A changed `speed` continues from the time that the old one reached. Raises `InvalidInput` for a broken file.
    """
    anchor = Anchor(base_ms=start_ms, wall_anchor_ms=wall_ms, opened_ms=start_ms, speed=speed)
    if path.exists():
        anchor = _read(path)
        if anchor.speed == speed:
            return anchor
        moved = {"base_ms": anchor.exchange_ms(wall_ms), "wall_anchor_ms": wall_ms, "speed": speed}
        anchor = anchor.model_copy(update=moved)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        partial.write_text(json.dumps(anchor.model_dump()) + "\n")
        os.replace(partial, path)
    except OSError as error:
        raise InvalidInput(f"cannot write the anchor file {path}: {error.strerror}") from error
    return anchor


def _read(path: Path) -> Anchor:
    try:
        return Anchor.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InvalidInput(f"invalid anchor file {path}: delete it to start a new market ({error})") from error


def _checked_time(time_ms: int) -> int:
    if not 0 < time_ms <= _LATEST_MS:
        raise InvalidInput(f"exchange time {time_ms} ms is not between 1970 and 2100")
    return time_ms


def _checked_speed(speed: float) -> float:
    if not 0 <= speed <= MAX_SPEED:
        raise InvalidInput(f"speed {speed} is not between 0 and {MAX_SPEED:g}")
    return speed
