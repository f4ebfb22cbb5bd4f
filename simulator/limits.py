"""Rate limits of the exchange, in real time: one token bucket per address."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MAX_ADDRESSES = 1_000


class TokenBuckets:
    """`rate` tokens per second, and at most as many in store, for each address."""

    def __init__(self, rate: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._store = max(1.0, rate)
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> bool:
        """Take one token; False if there is none."""
        now = self._monotonic()
        tokens, since = self._buckets.pop(address, (self._store, now))
        tokens = min(self._store, tokens + (now - since) * self._rate)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - allowed, now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed
