"""Buckets of many series at once equal each series' own range."""

from __future__ import annotations

import numpy as np
import pytest
import redis

from app.market.records import RECORD
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.buckets import SERIES_PER_READ, BucketReader
from app.storage.candles import CandleCache
from app.storage.model import Write
from tests.filled import walk

pytestmark = pytest.mark.integration

LAST_S = 300 * 5_000_007
MANY = [Series("coinbase", f"P{number:03}-USD", Timeframe.M5) for number in range(SERIES_PER_READ + 10)]


NOTHING = np.zeros((), RECORD)


@pytest.mark.parametrize(
    "starts",
    [
        [LAST_S + 300, LAST_S, LAST_S - 300, LAST_S - 600, LAST_S - 300 * 48, LAST_S - 300 * 90],
        [LAST_S - 300 * 48, *range(LAST_S - 900, LAST_S + 600, 300)],
        [*range(LAST_S - 300 * 48, LAST_S + 600, 300)],  # as many as a ring has: it wraps around among them
    ],
)
def test_buckets_are_those_of_each_series_own_range(redis_client: redis.Redis, starts: list[int]) -> None:
    cache = CandleCache(redis_client, capacity=50, events_kept=10)
    for number, series in enumerate(MANY[::2]):  # every other one has no ring; rings end at different buckets
        records = walk(LAST_S - 300 * (number % 7), 60, 300, seed=number)
        cache.write([Write(series, records[records["start_s"] != LAST_S - 600])], announce=False)
    slots = BucketReader(redis_client).read(MANY, starts)
    assert slots.shape == (len(MANY), len(starts))
    for series, found in zip(MANY, slots, strict=True):
        held = {int(record["start_s"]): record for record in cache.read(series, min(starts), max(starts)).records}
        assert found.tobytes() == b"".join(held.get(s, NOTHING).tobytes() for s in starts)


def test_no_series_no_buckets(redis_client: redis.Redis) -> None:
    assert BucketReader(redis_client).read([], [300, 600]).shape == (0, 2)
