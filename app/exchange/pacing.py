"""Limits shared by all connections of a process, and a clock that does not count suspended time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable


class Limiter:
    """At most `count` permits in any second, in the order of the requests. Safe to call from any thread.

    The exchange counts: messages sent a second apart may arrive closer together, so the window is a little longer. A
    window, not `util.rate`: that allows a burst beside the rate.
    """

    WINDOW_S = 1.2

    def __init__(self, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._granted: deque[float] = deque(maxlen=count)
        self._clock = clock
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take the next permit; returns the seconds until it is valid."""
        with self._lock:
            now = self._clock()
            full = len(self._granted) == self._granted.maxlen
            at = max(now, self._granted[0] + self.WINDOW_S) if full else now
            self._granted.append(at)
            return at - now


class AwakeClock:
    """Milliseconds that only go forward, without the time in which this thread was suspended.

    A suspended machine or a slow callback is not silence of the exchange: its frames wait in the socket.
    """

    _MAX_STEP_S = 1.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last_s = clock()
        self._awake_s = 0.0

    def now_ms(self) -> int:
        now_s = self._clock()
        self._awake_s += min(now_s - self._last_s, self._MAX_STEP_S)
        self._last_s = now_s
        return int(self._awake_s * 1000)
