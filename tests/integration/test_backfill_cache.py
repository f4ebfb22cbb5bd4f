"""Wrong or missing candles in the cache are found and corrected automatically."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from app.market.records import CORRECTED, RECORD
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys, mismatches
from app.storage.rings import TRAILER
from tests.faults.world import World, started_world
from tests.oracle import assert_true
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.9)]

M5 = Timeframe.M5
PRODUCTS = 4


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One installation for all of these, with frequent reconciliations: each test leaves it as it was."""
    with started_world(tmp_path_factory.mktemp("world"), PRODUCTS, CANDLEWICK_RECONCILE_SECONDS="600") as everything:
        yield everything


def test_an_unnoticed_gap_is_found_by_the_next_scan(running: World) -> None:
    exchange, system = running.exchange, running.system
    series = Series("coinbase", "BTC-USD", M5)
    system.wait_until(system.now_s() + 400)
    newest = M5.last_over(system.now_s()) - 300
    ring, capacity = keys.candles(series), system.context.settings.series_capacity
    for start_s in (newest, newest - 100 * 300):
        offset = start_s // 300 % capacity * RECORD.itemsize
        system.context.redis.setrange(ring, offset, bytes(RECORD.itemsize))
    assert system.context.redis.strlen(ring) == capacity * RECORD.itemsize + TRAILER.size
    assert len(system.context.candles.read(series, newest, newest).records) == 0
    assert_true(system, exchange)


def test_a_response_for_another_product_is_not_trusted(running: World) -> None:
    exchange, system = running.exchange, running.system
    system.wait_until(system.now_s() + 300)
    log, known = system.processes["backfill"], mismatches.latest(system.context.redis)
    logged = log.output()
    exchange.inject("rest_wrong_product", path="candles")
    exchange.inject("refuse_connections", for_seconds=6)
    exchange.inject("reset")
    eventually(lambda: "the response contradicts" in log.output().removeprefix(logged), interval=0.1)
    assert_true(system, exchange)
    assert mismatches.latest(system.context.redis) == known, "nothing wrong was written on the way"


def test_an_unannounced_revision_reaches_every_timeframe(running: World) -> None:
    exchange, system = running.exchange, running.system
    system.wait_until(system.now_s() + 400)
    bucket = M5.bucket(exchange.now_s()) - 10 * 300
    exchange.inject("revise", product="BTC-USD", start=bucket, announce=False)
    assert_true(system, exchange)
    series = Series("coinbase", "BTC-USD", M5)
    (record,) = system.context.candles.read(series, bucket, bucket).records
    assert record["flags"] & CORRECTED
    kept = [m for m in mismatches.latest(system.context.redis) if (m["timeframe"], m["start"]) == ("5m", bucket)]
    assert kept[0]["cause"] in ("gap", "reconcile"), "the first response against it marked it, the next confirmed it"
    assert "high" in kept[0]["fields"]
    assert kept[0]["before"]["high"] < kept[0]["after"]["high"] == float(record["high"])


def test_redis_may_be_down_and_nothing_restarts(running: World) -> None:
    exchange, system = running.exchange, running.system
    pids = {name: process.pid for name, process in system.processes.items()}
    log = system.processes["ingest"]
    logged = log.output()
    running.send(running.redis_process(), signal.SIGSTOP)
    try:
        frozen_s = exchange.now_s()
        eventually(lambda: exchange.now_s() > frozen_s + 900, interval=0.2)
    finally:
        running.send(running.redis_process(), signal.SIGCONT)
    eventually(lambda: "Redis is back" in log.output().removeprefix(logged))
    assert_true(system, exchange)
    assert {name: p.pid for name, p in system.processes.items() if p.returncode is None} == pids


def test_a_redis_that_lost_its_data_is_filled_again(running: World) -> None:
    exchange, system = running.exchange, running.system
    system.wait_until(system.now_s() + 120)
    system.context.redis.flushall()
    eventually(lambda: system.has_started(PRODUCTS), interval=0.2)
    assert_true(system, exchange)


def test_an_exchange_without_final_updates_is_corrected_by_rest(running: World) -> None:
    exchange, system = running.exchange, running.system
    assert system.context.trust.is_given
    exchange.inject("no_final_update", for_seconds=3600)
    eventually(lambda: not system.context.trust.is_given, interval=0.2)
    system.wait_until(exchange.now_s() + 900)
    assert_true(system, exchange)
    exchange.clear()
