"""Whatever happens, the cache becomes equal to the exchange again, by itself, within the request budget."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from app.cache import keys
from app.cache.candles import TRAILER
from app.candles import State
from app.records import CORRECTED, RECORD, state_of
from app.repair import mismatches
from app.series import Series
from app.timeframes import Timeframe
from tests.faults.ledger import most_in_a_second
from tests.oracle import Exchange, none, wrong_candles, wrong_indicators
from tests.support import eventually
from tests.system import System

pytestmark = pytest.mark.integration

M5 = Timeframe.M5
StartExchange = Callable[..., Exchange]
StartSystem = Callable[..., System]


def started(
    start_exchange: StartExchange, start_system: StartSystem, products: int, **env: str
) -> tuple[Exchange, System]:
    exchange = start_exchange("--products", str(products), "--start", "2021-03-04T00:00:00Z")
    system = start_system(exchange, PRODUCTS="all:USD", **env)
    eventually(lambda: system.has_started(products), timeout=30 + 2 * products, interval=0.2)
    return exchange, system


def assert_true(system: System, exchange: Exchange, timeout: float = 30.0) -> None:
    """Soon, the cache holds the truth up to now, and the indicators follow from it."""
    now_s, timeframes = exchange.now_s(), system.context.settings.timeframes
    products = system.context.products.delivered()
    eventually(
        lambda: none(wrong_candles(system, exchange, products, timeframes, now_s)), timeout=timeout, interval=0.3
    )
    eventually(lambda: none(wrong_indicators(system, products, timeframes)), timeout=10, interval=0.1)


def test_the_start_takes_one_request_a_series_at_the_pace_of_the_budget(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 6, TIMEFRAMES="1m,5m,15m,1h,4h,1d")
    asked = [r for r in exchange.requests_for_candles() if int(r["exchange_ms"]) / 1000 < system.now_s()]
    first = [(r["path"], r["query"].split("granularity=")[1].split("&")[0]) for r in asked]
    assert len(set(first)) == 6 * 6
    ledger = exchange.get("/local/ledger")["requests"]
    assert not [r for r in ledger if r["status"] == 429]
    assert most_in_a_second([r["monotonic_s"] for r in ledger if not r["path"].startswith("/local")]) <= 5


def test_after_a_disconnect_one_request_a_product_brings_everything_back(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 10)
    products = system.context.products.delivered()
    system.wait_until(system.now_s() + 300)
    before = len(exchange.requests_for_candles())
    exchange.inject("refuse_connections", for_seconds=20)
    exchange.inject("reset")
    gone_s = exchange.now_s()
    eventually(lambda: exchange.now_s() > gone_s + 1200, timeout=40, interval=0.1)
    eventually(lambda: system.now_s() > gone_s + 1200, timeout=40, interval=0.05)
    timeframes, until_s = system.context.settings.timeframes, gone_s + 1200
    eventually(lambda: none(wrong_candles(system, exchange, products, timeframes, until_s)), timeout=30, interval=0.1)
    needed = exchange.requests_for_candles()[before:]
    for product in products:
        mine = [r for r in needed if f"/{product}/" in r["path"]]
        assert len(mine) <= 3, f"{product} was asked for {len(mine)} times: {[r['query'] for r in mine]}"


@pytest.mark.parametrize(
    ("fault", "within_s"),
    [({"fault": "freeze_socket", "for_seconds": 15}, 8), ({"fault": "freeze_channel", "for_seconds": 40}, 35)],
    ids=["silent socket", "dead channel"],
)
def test_silence_is_noticed_and_repaired(
    fault: dict[str, object], within_s: float, start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 4)
    system.wait_until(system.now_s() + 120)
    exchange.inject(**fault)  # type: ignore[arg-type]
    began = time.monotonic()
    log = system.processes["ingest"]
    eventually(lambda: "lost: no " in log.output(), timeout=within_s, interval=0.1)
    assert time.monotonic() - began < within_s
    exchange.clear()
    assert_true(system, exchange)


def test_a_gap_that_nobody_noticed_is_found_by_the_next_scan(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 3)
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


def test_an_answer_about_another_product_is_not_believed(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 3)
    system.wait_until(system.now_s() + 300)
    exchange.inject("rest_wrong_product", path="candles")
    exchange.inject("refuse_connections", for_seconds=6)
    exchange.inject("reset")
    eventually(lambda: "the answer contradicts" in system.processes["backfill"].output(), timeout=40, interval=0.1)
    assert_true(system, exchange)
    assert not mismatches.latest(system.context.redis), "nothing wrong was written on the way"


def test_a_redis_that_lost_its_data_is_filled_again(start_exchange: StartExchange, start_system: StartSystem) -> None:
    exchange, system = started(start_exchange, start_system, 3)
    system.wait_until(system.now_s() + 120)
    system.context.redis.flushall()
    eventually(lambda: system.has_started(3), timeout=40, interval=0.2)
    assert_true(system, exchange)


def test_a_revision_that_was_not_told_reaches_every_timeframe(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 3, RECONCILE_SECONDS="600")
    system.wait_until(system.now_s() + 400)
    bucket = M5.bucket(exchange.now_s()) - 10 * 300
    exchange.inject("revise", product="BTC-USD", start=bucket, announce=False)
    assert_true(system, exchange, timeout=60)
    series = Series("coinbase", "BTC-USD", M5)
    (record,) = system.context.candles.read(series, bucket, bucket).records
    assert record["flags"] & CORRECTED
    kept = [m for m in mismatches.latest(system.context.redis) if (m["timeframe"], m["start"]) == ("5m", bucket)]
    assert kept[0]["cause"] == "reconcile"
    assert "high" in kept[0]["fields"]
    assert kept[0]["before"]["high"] < kept[0]["after"]["high"] == float(record["high"])


def test_a_revision_that_was_told_is_asked_for_at_once(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 3)
    system.wait_until(system.now_s() + 400)
    eventually(lambda: 900 < exchange.now_s() % 3600 < 2700, timeout=60, interval=0.1)  # no reconciliation is near
    bucket, btc = M5.bucket(exchange.now_s()) - 600, Series("coinbase", "BTC-USD", M5)
    subprocess.run([sys.executable, "-m", "app", "reconcile", "now"], env={**os.environ, **system.env}, check=True)

    def is_confirmed() -> bool:
        return bool((state_of(system.context.candles.read(btc, bucket, bucket).records) == State.CONFIRMED).all())

    eventually(is_confirmed, timeout=20)
    exchange.inject("revise", product="BTC-USD", start=bucket)
    assert_true(system, exchange, timeout=10)


def test_a_venue_that_never_sends_a_last_update_is_seen_through(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange = start_exchange(
        "--products",
        "4",
        "--start",
        "2021-03-04T00:00:00Z",
        "--option",
        "final_update=false",
        "--option",
        "update_ms=900",
    )
    system = start_system(exchange, PRODUCTS="all:USD", RECONCILE_SECONDS="600")
    eventually(lambda: system.has_started(4), timeout=60, interval=0.2)
    eventually(lambda: not system.context.trust.is_given, timeout=40, interval=0.2)
    now_s = exchange.now_s()
    system.wait_until(now_s + 900)
    assert_true(system, exchange, timeout=60)


@pytest.mark.parametrize(
    "faults",
    [
        [{"fault": "rest_429", "count": 2}, {"fault": "rest_429", "count": 1, "body": "html"}],
        [{"fault": "rest_401", "count": 2}, {"fault": "rest_502", "count": 2}, {"fault": "rest_500", "count": 2}],
        [{"fault": "rest_truncated", "count": 3}, {"fault": "rest_late", "seconds": 50, "for_seconds": 10}],
    ],
    ids=["throttled", "refused and broken", "cut off and late"],
)
def test_trouble_with_rest_delays_a_repair_and_no_more(
    faults: list[dict[str, object]], start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 4)
    for fault in faults:
        exchange.inject(**fault)  # type: ignore[arg-type]
    exchange.inject("refuse_connections", for_seconds=6)
    exchange.inject("reset")
    gone_s = exchange.now_s()
    eventually(lambda: system.now_s() > gone_s + 500, timeout=60, interval=0.1)
    assert_true(system, exchange, timeout=60)
    throttled = [r for r in exchange.get("/local/ledger")["requests"] if r["status"] == 429 and not r["note"]]
    assert throttled == []


def test_two_ingest_processes_write_and_tell_everything_once(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange, system = started(start_exchange, start_system, 4)
    system.start("ingest2")
    eventually(lambda: "open (number 1)" in system.processes["ingest2"].output(), timeout=20)
    system.wait_until(system.now_s() + 900)
    assert_true(system, exchange)
    told = [
        (fields[b"kind"], fields[b"series"], fields[b"data"].split(b'"open"')[0])
        for _, fields in system.context.redis.xrange(keys.EVENTS)
        if fields[b"kind"] == b"close"
    ]
    assert told
    assert len(told) == len(set(told)), "a close was told twice"


def test_redis_may_be_away_and_nothing_restarts(
    start_exchange: StartExchange, start_system: StartSystem, redis_server: object
) -> None:
    exchange, system = started(start_exchange, start_system, 4)
    pids = {name: process.pid for name, process in system.processes.items()}
    os.kill(redis_server.pid, signal.SIGSTOP)  # type: ignore[attr-defined]
    try:
        frozen_s = exchange.now_s()
        eventually(lambda: exchange.now_s() > frozen_s + 900, timeout=30, interval=0.2)
    finally:
        os.kill(redis_server.pid, signal.SIGCONT)  # type: ignore[attr-defined]
    eventually(lambda: "Redis is back" in system.processes["ingest"].output(), timeout=30)
    assert_true(system, exchange, timeout=60)
    assert {name: p.pid for name, p in system.processes.items() if p.returncode is None} == pids


def test_a_backfill_worker_ends_cleanly_in_the_middle_of_its_work(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange = start_exchange("--products", "10", "--start", "2021-03-04T00:00:00Z")
    system = start_system(exchange, PRODUCTS="all:USD")
    eventually(lambda: len(exchange.requests_for_candles()) > 5, timeout=40)
    assert system.context.queue.state().total > 5
    worker = system.processes["backfill"]
    assert worker.stop(timeout=20) == 0
    assert "Traceback" not in worker.output()
    system.start("backfill")
    eventually(lambda: system.has_started(10), timeout=60, interval=0.2)


def test_a_dead_worker_and_a_dead_ingest_lose_nothing(start_exchange: StartExchange, start_system: StartSystem) -> None:
    exchange, system = started(start_exchange, start_system, 4)
    for name in ("indicators", "backfill", "ingest"):
        system.processes[name].end()
    away_s = exchange.now_s()
    eventually(lambda: exchange.now_s() > away_s + 600, timeout=30, interval=0.2)
    system.start("indicators", "backfill", "ingest")
    eventually(lambda: system.now_s() > away_s + 700, timeout=30, interval=0.2)
    assert_true(system, exchange, timeout=60)
