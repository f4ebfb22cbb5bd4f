"""The start, and what ends and comes back: the cache becomes equal to the exchange, within the request budget."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.ledger import most_in_a_second
from tests.oracle import Exchange, assert_true
from tests.support import eventually
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.3)]

StartExchange = Callable[..., Exchange]
StartSystem = Callable[..., System]


def test_the_start_takes_one_request_a_series_at_the_pace_of_the_budget(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange = start_exchange("--products", "6", "--start", "2021-03-04T00:00:00Z")
    system = start_system(exchange, PRODUCTS="all:USD", TIMEFRAMES="1m,5m,15m,1h,4h,1d")
    eventually(lambda: system.has_started(6), timeout=60, interval=0.2)
    asked = [r for r in exchange.requests_for_candles() if int(r["exchange_ms"]) / 1000 < system.now_s()]
    first = [(r["path"], r["query"].split("granularity=")[1].split("&")[0]) for r in asked]
    assert len(set(first)) == 6 * 6
    ledger = exchange.get("/local/ledger")["requests"]
    assert not [r for r in ledger if r["status"] == 429]
    assert most_in_a_second([r["monotonic_s"] for r in ledger if not r["path"].startswith("/local")]) <= 5


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


def test_a_worker_that_ends_in_the_middle_and_processes_that_die_lose_nothing(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange = start_exchange("--products", "8", "--start", "2021-03-04T00:00:00Z")
    system = start_system(exchange, PRODUCTS="all:USD")
    eventually(lambda: len(exchange.requests_for_candles()) > 5, timeout=40)
    assert system.context.queue.state().total > 5
    worker = system.processes["backfill"]
    assert worker.stop(timeout=20) == 0
    assert "Traceback" not in worker.output()
    system.start("backfill")
    eventually(lambda: system.has_started(8), timeout=60, interval=0.2)
    for name in ("indicators", "backfill", "ingest"):
        system.processes[name].end()
    away_s = exchange.now_s()
    eventually(lambda: exchange.now_s() > away_s + 600, timeout=30, interval=0.2)
    system.start("indicators", "backfill", "ingest")
    eventually(lambda: system.now_s() > away_s + 700, timeout=30, interval=0.2)
    assert_true(system, exchange, timeout=60)
