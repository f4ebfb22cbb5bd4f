"""Wakes threads at the same moments, one after the other.

A thread that wakes finds the processor's caches cold, which costs more than the dozen frames that it then reads. So
if nothing is urgent, frames gather, and the threads that read them wake together. They take turns; otherwise they
would wake each other once more for the interpreter's lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MAX_WAIT_S = 0.02
"""A turn lasts some milliseconds. A longer one is stuck, perhaps in a callback, and others continue without it."""


class SharedWakeup:
    """Moments `every_s` apart, at each of which every waiting thread has one turn."""

    def __init__(
        self, every_s: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._every_s = every_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Wait for the next moment, and for earlier threads."""
        self._sleep(self._every_s - self._clock() % self._every_s)
        is_mine = self._lock.acquire(timeout=_MAX_WAIT_S)
        try:
            yield
        finally:
            if is_mine:
                self._lock.release()
