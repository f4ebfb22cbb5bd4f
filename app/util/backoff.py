"""How long to wait after failures in a row."""

from __future__ import annotations

import random


def delay_s(failures: int, *, first_s: float, max_s: float) -> float:
    """Seconds to wait after the n-th failure in a row: `first_s`, doubled after each, at most `max_s`."""
    return min(max_s, first_s * 2.0 ** min(failures - 1, 64))


def jittered_s(failures: int, *, first_s: float, max_s: float) -> float:
    """`delay_s`, less up to a half by chance, so that processes that failed together do not retry together."""
    return delay_s(failures, first_s=first_s, max_s=max_s) * random.uniform(0.5, 1.0)


class Backoff:
    """Counts the failures in a row. `is_jittered`: whether waits are shortened by chance."""

    def __init__(self, *, first_s: float, max_s: float, is_jittered: bool = False) -> None:
        self.failures = 0
        self._first_s = first_s
        self._max_s = max_s
        self._delay_s = jittered_s if is_jittered else delay_s

    def reset(self) -> None:
        """The last attempt succeeded."""
        self.failures = 0

    def next_s(self) -> float:
        """Seconds to wait after another failure."""
        self.failures += 1
        return self._delay_s(self.failures, first_s=self._first_s, max_s=self._max_s)
