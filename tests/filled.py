"""A small installation in a real Redis, on an exchange whose clock is years behind the machine's."""

from __future__ import annotations

import numpy as np

from app.compute.computer import Computer
from app.context import Context
from app.market.candles import CandleState
from app.market.records import EMPTY, RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.health import HealthCache
from app.storage.model import Origin, Write
from app.storage.products import FollowedProduct

NOW_S = 1_614_816_000 + 7 * 3600 + 130  # a Thursday of 2021, 130 s into a bucket of 5m
OPEN_S = NOW_S // 300 * 300
"""Start of the open bucket of 5m."""

TIMEFRAMES = (Timeframe.M5, Timeframe.H1)
CONNECTION = {
    "connection": "1",
    "is_open": True,
    "open_ms": 7_500_000,
    "attempt": 2,
    "sequence_gaps": 1,
    "silent_ms": {"candles": 40},
}


def settings(redis_url: str) -> Settings:
    return Settings(redis_url=redis_url, coinbase={"products": ("BTC-USD",)}, timeframes=TIMEFRAMES)


def walk(last_s: int, count: int, step: int, *, seed: int = 1) -> Records:
    """`count` confirmed candles up to the bucket `last_s`: a random walk with every ninth candle empty."""
    random = np.random.default_rng(seed)
    records = np.zeros(count, RECORD)
    close = np.round(100 * np.exp(np.cumsum(random.normal(0, 0.01, count))), 4)
    empty = np.arange(count) % 9 == 8
    close[empty] = close[np.flatnonzero(empty) - 1]
    opened = np.concatenate([close[:1], close[:-1]])
    spread = np.where(empty, 1.0, 1.005)
    records["start_s"] = last_s - step * np.arange(count - 1, -1, -1)
    records["flags"] = CandleState.CONFIRMED | np.where(empty, EMPTY, 0)
    records["observed_ms"] = NOW_S * 1000
    records["open"], records["close"] = opened, close
    records["high"] = np.round(np.maximum(opened, close) * spread, 4)
    records["low"] = np.round(np.minimum(opened, close) / spread, 4)
    records["volume"] = np.where(empty, 0.0, np.round(random.uniform(1, 9, count), 4))
    return records


def forming(start_s: int) -> Records:
    return np.array([(start_s, CandleState.FORMING, NOW_S * 1000, 100.0, 103.0, 99.0, 101.0, 2.5)], RECORD)


def fill(context: Context, *, bars: int = 600, late: int = 0) -> dict[Series, Records]:
    """Three products, one of them an alias, with `bars` candles each up to the last closed bucket minus `late`.

    A fourth product is refused by the exchange. Returns the closed candles of each series.
    """
    wanted, is_empty = (context.settings.series_capacity, bars, late), not context.redis.dbsize()
    if is_empty and wanted in _kept:
        held, dumped = _kept[wanted]
        with context.redis.pipeline(transaction=False) as pipeline:
            for name, value in dumped.items():
                pipeline.restore(name, 0, value, replace=True)  # a server of another test may still write its status
            pipeline.execute()
    else:
        held = _written(context, bars, late)
        if is_empty:
            names = context.redis.keys()
            _kept[wanted] = held, {name: context.redis.dump(name) for name in names}
    publish_feed(context)
    return {series: records.copy() for series, records in held.items()}


_kept: dict[tuple[int, int, int], tuple[dict[Series, Records], dict[bytes, bytes]]] = {}
"""Data written to an empty Redis before: writing and computing them takes ten times as long."""


def _written(context: Context, bars: int, late: int) -> dict[Series, Records]:
    context.products.follow(
        [
            FollowedProduct("BTC-USD", "BTC-USD"),
            FollowedProduct("BTC-USDC", "BTC-USD"),
            FollowedProduct("SOL-USD", "SOL-USD"),
            FollowedProduct("GONE-USD", "GONE-USD", "the exchange did not confirm its subscription"),
        ]
    )
    held = {}
    for number, product in enumerate(("BTC-USD", "BTC-USDC", "SOL-USD")):
        for timeframe in TIMEFRAMES:
            series = Series("coinbase", product, timeframe)
            step = timeframe.seconds
            held[series] = walk(NOW_S // step * step - (1 + late) * step, bars, step, seed=number)
            context.candles.write([Write(series, held[series], Origin.given(int(held[series]["start_s"][0])))])
    context.candles.write([Write(Series("coinbase", "BTC-USD", Timeframe.M5), forming(OPEN_S))])
    compute(context, held)
    return held


def compute(context: Context, held: dict[Series, Records]) -> None:
    """Compute as workers do after a close; one timeframe at a time, because the walks are not sums of each other."""
    for timeframe in TIMEFRAMES:
        newest = {s: int(records["start_s"][-1]) for s, records in held.items() if s.timeframe is timeframe}
        changed = [ChangedRange(s.product, timeframe, start_s, start_s) for s, start_s in newest.items()]
        Computer(context.candles, context.indicators, "coinbase", (timeframe,)).update(changed, NOW_S)


def publish_feed(context: Context, exchange_ms: int = NOW_S * 1000) -> None:
    """Store what an ingest process publishes four times per second."""
    context.clock.set(exchange_ms)
    HealthCache(context.redis, "coinbase").store([CONNECTION], dropped=0)
