"""Data that are no longer followed expire after a while, and nothing else does."""

from __future__ import annotations

import pytest
import redis

from app.storage import keys
from app.storage.candles import CandleCache
from app.storage.leftovers import KEPT_S, earlier_version, sweep
from app.storage.model import Write
from tests.build import B0, run, series

pytestmark = pytest.mark.integration


def test_a_ring_of_an_unfollowed_product_expires_unless_followed_again(
    redis_client: redis.Redis,
) -> None:
    cache = CandleCache(redis_client, capacity=600, events_kept=100)
    cache.write([Write(series(product), run(B0, 3)) for product in ("BTC-USD", "GONE-USD")])
    kept, gone = keys.candles(series()), keys.candles(series("GONE-USD"))
    assert sweep(redis_client, "coinbase", {"BTC-USD"}) == 1
    assert (redis_client.ttl(kept), 0 < redis_client.ttl(gone) <= KEPT_S) == (-1, True)
    redis_client.expire(gone, 5_000)
    sweep(redis_client, "coinbase", {"BTC-USD"})
    assert redis_client.ttl(gone) <= 5_000, "its time is not prolonged"
    assert sweep(redis_client, "coinbase", {"BTC-USD", "GONE-USD"}) == 0
    assert redis_client.ttl(gone) == -1
    assert sweep(redis_client, "kraken", set()) == 0, "another exchange's keys are not touched"


def test_data_of_an_earlier_version_is_named_with_what_to_do(redis_client: redis.Redis) -> None:
    assert earlier_version(redis_client) == ""
    redis_client.xadd(keys.EVENTS, {"kind": "close"})
    assert earlier_version(redis_client) == "", "its own data"
    redis_client.xadd("cw:1:events", {"kind": "close"})
    assert "--pattern 'cw:1:*' | xargs redis-cli unlink" in earlier_version(redis_client)
