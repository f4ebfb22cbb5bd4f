"""All Redis stores of one exchange."""

from __future__ import annotations

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
    """May be shared between threads. `capacity`: candles kept per series. `events_kept`: events kept for readers."""

    def __init__(
        self, client: Redis, exchange: str, *, capacity: int, events_kept: int, requests_per_second: float
    ) -> None:
        self.redis = client
        self.exchange = exchange
        self.candles = CandleCache(client, capacity=capacity, events_kept=events_kept)
        self.buckets = BucketReader(client)
        self.indicators = IndicatorCache(client, events_kept=events_kept)
        self.alerts = AlertCache(client)
        self.deliveries = Deliveries(client)
        self.clock = ClockCache(client, exchange)
        self.products = ProductCache(client, exchange)
        self.queue = BackfillQueue(client, exchange)
        self.budget = Budget(client, exchange, requests_per_second)
        self.disputes = Disputes(client, exchange)
        self.trust = StreamTrust(client, exchange)
