"""The start, and processes that are killed and restarted: the cache becomes equal to the exchange within the budget."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.ledger import busiest_second, pages, refused
from tests.oracle import Exchange, assert_true
from tests.support import eventually
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.0)]

StartExchange = Callable[..., Exchange]
StartSystem = Callable[..., System]


def test_the_start_fills_the_rings_and_killed_processes_lose_nothing(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange = start_exchange("--products", "6", "--start", "2021-03-04T00:00:00Z")
    system = start_system(
        exchange,
        CANDLEWICK_COINBASE__PRODUCTS="all:USD",
        CANDLEWICK_TIMEFRAMES="1m,5m,15m,1h,4h,1d",
        CANDLEWICK_RECONCILE_SECONDS="86400",
    )
    eventually(lambda: len(exchange.requests_for_candles()) > 5)
    assert system.context.queue.state().total > 5
    worker = system.processes["backfill"]
    assert worker.stop() == 0
    assert "Traceback" not in worker.output()
    system.start("backfill")
    eventually(lambda: system.has_started(6), interval=0.2)
    assert_pages_of_a_ring_at_the_pace_of_the_budget(exchange, series=6 * 6)
    for name in ("indicators", "backfill", "ingest"):
        system.processes[name].end()
    away_s = exchange.now_s()
    eventually(lambda: exchange.now_s() > away_s + 600, interval=0.2)
    system.start("indicators", "backfill", "ingest")
    eventually(lambda: system.now_s() > away_s + 700, interval=0.2)
    assert_true(system, exchange)


def assert_pages_of_a_ring_at_the_pace_of_the_budget(exchange: Exchange, series: int) -> None:
    requested = pages(exchange.requests_for_candles())
    assert len(requested) == series
    assert set(requested.values()) <= {2, 3}, "a ring of 1,000 buckets is three pages"
    ledger = exchange.get("/local/ledger")
    assert refused(ledger) == (0, 0)
    assert busiest_second(ledger) <= 5
