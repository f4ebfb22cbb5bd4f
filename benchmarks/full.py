"""A Redis as after days of running: 700 products in five timeframes, every ring full, every indicator computed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from redis import Redis

from app.compute.computer import Computer
from app.context import Context
from app.market.candles import CandleState
from app.market.records import RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.model import Origin, Write
from app.storage.products import FollowedProduct
from tests.redis_server import RedisServer
from tests.support import free_port

PRODUCTS = [f"P{i:03d}-USD" for i in range(700)]
NOW_S = 1_700_000_000 // 86_400 * 86_400 + 250
"""Exchange time, within the first 5m bucket of a day."""


class Full(NamedTuple):
    """`empty_bytes`: memory of Redis before the first write."""

    context: Context
    many: list[Series]
    empty_bytes: int

    def used_bytes(self) -> int:
        self.context.redis.execute_command("MEMORY", "PURGE")
        return int(self.context.redis.info("memory")["used_memory"])  # type: ignore[index]

    def close_all(self, timeframe: Timeframe, start_s: int) -> None:
        """Close one more candle of each product, and compute its indicator."""
        several = [s for s in self.many if s.timeframe == timeframe]
        walk = candles(timeframe, start_s, 1)
        self.context.candles.write(Write(series, walk) for series in several)
        self.compute(
            [ChangedRange(s.product, timeframe, start_s, start_s) for s in several], start_s + timeframe.seconds
        )

    def compute(self, changed: list[ChangedRange], now_s: float) -> None:
        c = self.context
        Computer(c.candles, c.indicators, c.exchange, c.settings.timeframes).update(changed, now_s)


@contextmanager
def full() -> Iterator[Full]:
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(Path(folder), free_port()) as server,
        Redis.from_url(server.url) as client,
    ):
        context = Context(Settings(redis_url=server.url), client)
        many = [Series(context.exchange, p, t) for t in context.settings.timeframes for p in PRODUCTS]
        everything = Full(context, many, int(client.info("memory")["used_memory"]))  # type: ignore[index]
        context.products.follow(FollowedProduct(p, p) for p in PRODUCTS)
        for timeframe in context.settings.timeframes:
            _fill(everything, timeframe)
        yield everything


def _fill(everything: Full, timeframe: Timeframe) -> None:
    last_s = timeframe.last_over(NOW_S)
    walk = candles(timeframe, last_s, everything.context.settings.series_capacity)
    several = [s for s in everything.many if s.timeframe == timeframe]
    everything.context.candles.write(
        (Write(s, walk, Origin.given(int(walk["start_s"][0]))) for s in several), announce=False
    )
    everything.compute([ChangedRange(s.product, timeframe, last_s, last_s) for s in several], NOW_S)


def candles(timeframe: Timeframe, last_s: int, count: int) -> Records:
    """Confirmed candles up to the bucket `last_s`: a random walk."""
    random = np.random.default_rng(1)
    records = np.zeros(count, RECORD)
    records["start_s"] = last_s - timeframe.seconds * np.arange(count - 1, -1, -1)
    records["flags"], records["observed_ms"] = CandleState.CONFIRMED, NOW_S * 1000
    records["close"] = 100 * np.exp(np.cumsum(random.normal(0, 0.002, count)))
    records["open"] = np.roll(records["close"], 1)
    records["high"] = np.maximum(records["open"], records["close"]) * 1.001
    records["low"] = np.minimum(records["open"], records["close"]) / 1.001
    records["volume"] = random.uniform(0, 1000, count)
    return records
