"""How often we may knock: limits shared by all connections of a process, and the wait between two tries."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable


class Limiter:
    """At most `count` permits in any second, in the order they were asked for. Safe from any thread.

    The second is the exchange's: what leaves a second apart may arrive closer together, so ours is a little longer.
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


# The exchange allows 8 new connections and 8 messages a second and address. A connection sends two messages at once
# (candles, heartbeats) and has five seconds for them, so half as many connections never queue behind their messages.
CONNECTIONS = Limiter(4)
MESSAGES = Limiter(8)


class Backoff:
    """Exponential, with full jitter: no two processes come back in step."""

    def __init__(
        self, least_s: float = 0.5, most_s: float = 30.0, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._least_s = least_s
        self._most_s = most_s
        self._uniform = uniform
        self._failures = 0

    def reset(self) -> None:
        """The last try was a success."""
        self._failures = 0

    def next_s(self) -> float:
        """Seconds to wait after another failure."""
        self._failures = min(self._failures + 1, 32)
        return self._uniform(self._least_s, min(self._most_s, self._least_s * 2.0**self._failures))


class AwakeClock:
    """Milliseconds that only go forward, less those in which this thread itself stood still.

    A suspended machine or a slow callback is no silence of the exchange: what arrived meanwhile waits in the socket.
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
