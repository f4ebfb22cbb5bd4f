"""Request budget shared by all processes: every REST request needs a permit.

A permit counts against the budget until one second after the response arrived, not after the request was sent. So the
exchange never receives more requests in any second than allowed, however long a busy machine or a slow network delays
them. All times are of the Redis server, so hosts with wrong clocks share the budget exactly. If Redis lost its data or
its clock was set, the first permit is granted one second later.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from redis import Redis

from app.storage import keys
from app.storage.scripts import script
from app.util.stop import Stop

WINDOW_S = 1.005
"""One second, plus a margin for the rounding of clocks."""

SPACING = 0.8
"""Minimum distance of permits, as a fraction of their even distance. A burst would only queue at the exchange."""

MAX_PAUSE_S = 300.0
"""A longer Retry-After is reduced to this."""

HELD_S = 60.0
"""A permit not released for this long belonged to a process that exited. No request takes as long."""


class BudgetState(NamedTuple):
    """`granted`, `throttled`: counted since the budget was created. `paused_s`: remaining pause, and its `reason`.

    `in_use`: permits that count against the budget now.
    """

    granted: int
    throttled: int
    paused_s: float
    in_use: int
    reason: str | None = None


Permit: TypeAlias = str
"""The right to one request, by its name. Release it when the request is over, however it ended."""


class Budget:
    """At most `per_second` requests in any second, across all processes that use the same Redis."""

    def __init__(self, client: Redis, exchange: str, per_second: float) -> None:
        self._client = client
        self._permits = f"{keys.BUDGET}:{exchange}:permits"
        self._state = f"{keys.BUDGET}:{exchange}"
        self._at_once = max(1, int(per_second))
        self._window_us = int(WINDOW_S * 1e6 * self._at_once / per_second)
        self._acquire = script(client, "acquire")
        self._release = script(client, "release_permit")
        self._pause = script(client, "pause")

    def try_acquire(self) -> Permit | float:
        """A permit, or the seconds to wait before the next try."""
        name = uuid.uuid4().hex
        spacing_us = int(SPACING * self._window_us / self._at_once)
        args: list[str | bytes | int] = [self._at_once, name, int(HELD_S * 1e6), spacing_us, self._window_us]
        wait_us = int(self._acquire(keys=[self._permits, self._state], args=args))
        return wait_us / 1e6 if wait_us else name

    def acquire(self, *, timeout_s: float = 60.0, stop: Stop | None = None) -> Permit | None:
        """Wait for a permit. None if none came within `timeout_s`, or if `stop` was set."""
        wait: Callable[[float], bool | None] = stop.wait if stop else time.sleep
        deadline = time.monotonic() + timeout_s
        while not isinstance(permit := self.try_acquire(), Permit):
            if time.monotonic() + permit > deadline or wait(permit):
                return None
        return permit

    def release(self, permit: Permit, *, answered: bool) -> None:
        """Release after a request. `answered`: with a proper response, so the next pause starts small again."""
        self._release(keys=[self._permits, self._state], args=[permit, self._window_us, int(answered)])

    def cancel(self, permit: Permit) -> None:
        """Release without a request."""
        self._client.zrem(self._permits, permit)
        self._client.hdel(self._state, "next_us")

    def pause(self, retry_after_s: float | None = None, reason: str = "429") -> float:
        """Pause all workers for `retry_after_s`, else for exponentially growing times. Returns the pause in seconds.

        `reason`: the exchange's response.
        """
        named_us = int(min(retry_after_s or 0.0, MAX_PAUSE_S) * 1e6)
        jitter = random.uniform(0.5, 1.0)
        return int(self._pause(keys=[self._state], args=[named_us, str(jitter), reason[:300]])) / 1e6

    def state(self) -> BudgetState:
        granted, throttled, paused_until_us, reason = self._client.hmget(
            self._state, "granted", "throttled", "paused_until_us", "reason"
        )
        seconds, micros = self._client.time()
        now_us = seconds * 1_000_000 + micros
        in_use = int(self._client.zcount(self._permits, f"({now_us}", "+inf"))
        paused_s = max(0.0, (int(paused_until_us or 0) - now_us) / 1e6)
        why = reason.decode(errors="replace") if isinstance(reason, bytes) and reason and paused_s else None
        return BudgetState(int(granted or 0), int(throttled or 0), paused_s, in_use, why)
