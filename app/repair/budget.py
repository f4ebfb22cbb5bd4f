"""One request budget for the fleet: every REST request of every process passes here first.

Permits are spaced evenly (GCRA with a burst of one) on the clock of the Redis server, so that hosts with wrong clocks
share it exactly. The interval is 3 % longer than the limit asks for: that absorbs the jitter between the permit and
the arrival of the request at the exchange.
"""

from __future__ import annotations

import random
import threading
import time
from typing import NamedTuple

from redis import Redis

from app.cache import keys
from app.cache.scripts import script

MARGIN = 1.03
CATCH_UP_S = 0.02
"""A caller that woke up late may be followed this much sooner; must stay below the second's margin."""

LONGEST_PAUSE_S = 300.0
"""A Retry-After above this is not believed."""


class BudgetState(NamedTuple):
    """`granted` and `throttled` count since the budget was made; `paused_s` is what is left of a pause."""

    granted: int
    throttled: int
    paused_s: float


class Budget:
    """At most `per_second` permits in any second, over all processes that use the same Redis."""

    def __init__(self, client: Redis, exchange: str, per_second: float) -> None:
        self._client = client
        self._key = f"{keys.BUDGET}:{exchange}"
        self._interval_us = int(MARGIN * 1_000_000 / per_second)
        self._acquire = script(client, "acquire")
        self._pause = script(client, "pause")

    def try_acquire(self) -> float:
        """0.0 for a permit, else the seconds to wait before the next try."""
        return int(self._acquire(keys=[self._key], args=[self._interval_us, int(CATCH_UP_S * 1e6)])) / 1e6

    def acquire(self, *, timeout_s: float = 60.0, stop: threading.Event | None = None) -> bool:
        """Wait for a permit; False where none came within `timeout_s` or `stop` was set."""
        stop = stop or threading.Event()
        deadline = time.monotonic() + timeout_s
        while wait_s := self.try_acquire():
            if time.monotonic() + wait_s > deadline or stop.wait(wait_s):
                return False
        return True

    def pause(self, retry_after_s: float | None = None) -> float:
        """Nobody asks for `retry_after_s`, or for exponentially longer times; returns the pause in seconds."""
        named_us = int(min(retry_after_s or 0.0, LONGEST_PAUSE_S) * 1e6)
        jitter = random.uniform(0.5, 1.0)
        return int(self._pause(keys=[self._key], args=[named_us, jitter])) / 1e6

    def answered(self) -> None:
        """A request was answered: the next pause starts small again."""
        self._client.hset(self._key, "throttled_in_a_row", 0)

    def state(self) -> BudgetState:
        granted, throttled, paused_until_us = self._client.hmget(self._key, "granted", "throttled", "paused_until_us")
        seconds, micros = self._client.time()
        paused_us = int(paused_until_us or 0) - seconds * 1_000_000 - micros
        return BudgetState(int(granted or 0), int(throttled or 0), max(0.0, paused_us / 1e6))
