"""The exchange's clock and the health of ingests in a real Redis: stale values are replaced."""

from __future__ import annotations

import json

import pytest
import redis

from app.storage import keys
from app.storage.clock import ClockCache
from app.storage.health import HealthCache

pytestmark = pytest.mark.integration

THEN_MS = 1_700_000_000_000


@pytest.fixture
def clock(redis_client: redis.Redis) -> ClockCache:
    return ClockCache(redis_client, "coinbase")


def pass_time(client: redis.Redis, ms: int) -> None:
    """As if the clock had been received earlier by this time."""
    client.hincrby(keys.clock("coinbase"), "received_ms", -ms)


def shown(clock: ClockCache) -> int:
    known = clock.read()
    assert known is not None
    return known.exchange_ms


def test_the_furthest_time_of_several_processes_counts(clock: ClockCache) -> None:
    for exchange_ms in (THEN_MS, THEN_MS + 5, THEN_MS + 2):
        clock.set(exchange_ms)
    assert shown(clock) == THEN_MS + 5


def test_an_unrepeated_time_ahead_is_replaced_after_ten_seconds(clock: ClockCache, redis_client: redis.Redis) -> None:
    """Even if others report theirs often: otherwise a clock that jumped and came back would stop everything."""
    clock.set(THEN_MS + 86_400_000)
    pass_time(redis_client, 1_000)
    clock.set(THEN_MS)
    assert shown(clock) == THEN_MS + 86_400_000
    pass_time(redis_client, 9_000)
    clock.set(THEN_MS)
    assert shown(clock) == THEN_MS


def test_a_time_that_is_received_again_is_fresh(clock: ClockCache, redis_client: redis.Redis) -> None:
    clock.set(THEN_MS)
    pass_time(redis_client, 600_000)
    known = clock.read()
    assert known is not None
    assert known.age_ms >= 600_000
    clock.set(THEN_MS)
    known = clock.read()
    assert known is not None
    assert known.age_ms < 600_000


@pytest.mark.parametrize(("age_s", "is_listed"), [(0, True), (12, True), (16, False)])
def test_an_ingest_is_listed_until_it_was_silent_for_15_s(
    redis_client: redis.Redis, age_s: int, is_listed: bool
) -> None:
    key, (seconds, _) = keys.health("coinbase"), redis_client.time()
    row = {"stored_ms": (int(seconds) - age_s) * 1000, "dropped": 0, "connections": []}
    redis_client.hset(key, "host:7", json.dumps(row))
    assert ("host:7" in HealthCache(redis_client, "coinbase").read()) is is_listed
    assert redis_client.hexists(key, "host:7") is is_listed
