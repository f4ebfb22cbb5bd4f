"""All Redis stores of one exchange."""

from __future__ import annotations

from functools import cached_property

from redis import Redis

from app.storage.alerts import AlertCache
from app.storage.buckets import BucketReader
from app.storage.budget import Budget
from app.storage.candles import CandleCache
from app.storage.clock import ClockCache
from app.storage.deliveries import Deliveries
from app.storage.disputes import Disputes
from app.storage.indicators import IndicatorCache
from app.storage.products import ProductCache
from app.storage.queue import BackfillQueue
from app.storage.trust import StreamTrust


class Stores:
    """Creates each store at its first use. Stores may be shared between threads.

    `capacity`: candles kept per series. `events_kept`: events kept for later readers.
    """

    def __init__(
        self, client: Redis, exchange: str, *, capacity: int, events_kept: int, requests_per_second: float
    ) -> None:
        self.redis = client
        self.exchange = exchange
        self._capacity = capacity
        self._events_kept = events_kept
        self._requests_per_second = requests_per_second

    @cached_property
    def candles(self) -> CandleCache:
        return CandleCache(self.redis, capacity=self._capacity, events_kept=self._events_kept)

    @cached_property
    def buckets(self) -> BucketReader:
        return BucketReader(self.redis)

    @cached_property
    def indicators(self) -> IndicatorCache:
        return IndicatorCache(self.redis, events_kept=self._events_kept)

    @cached_property
    def alerts(self) -> AlertCache:
        return AlertCache(self.redis)

    @cached_property
    def deliveries(self) -> Deliveries:
        return Deliveries(self.redis)

    @cached_property
    def clock(self) -> ClockCache:
        return ClockCache(self.redis, self.exchange)

    @cached_property
    def products(self) -> ProductCache:
        return ProductCache(self.redis, self.exchange)

    @cached_property
    def queue(self) -> BackfillQueue:
        return BackfillQueue(self.redis, self.exchange)

    @cached_property
    def budget(self) -> Budget:
        return Budget(self.redis, self.exchange, self._requests_per_second)

    @cached_property
    def disputes(self) -> Disputes:
        return Disputes(self.redis, self.exchange)

    @cached_property
    def trust(self) -> StreamTrust:
        return StreamTrust(self.redis, self.exchange)
