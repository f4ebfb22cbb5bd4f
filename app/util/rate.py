"""Rate limits per key, with a burst (GCRA)."""

from __future__ import annotations

import time
from collections.abc import Callable


class KeyedRateLimit:
    """At most `per_second` per key, after a pause `burst_s` seconds' worth at once. Keeps the `max_keys` seen last."""

    def __init__(
        self, per_second: float, *, burst_s: float, max_keys: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval_s = 1 / per_second
        self._burst_s = burst_s
        self._max_keys = max_keys
        self._clock = clock
        self._due_s: dict[str, float] = {}  # theoretical arrival time, least recently seen first

    def wait_s(self, key: str) -> float:
        """0 if `key` may go now, which is counted; else for how many seconds it has to wait."""
        now_s = self._clock()
        due_s = max(self._due_s.get(key, 0), now_s) + self._interval_s
        if (wait_s := due_s - now_s - self._burst_s) > 1e-9:
            return wait_s
        self._due_s.pop(key, None)
        self._due_s[key] = due_s
        if len(self._due_s) > self._max_keys:
            del self._due_s[next(iter(self._due_s))]
        return 0
