"""The start, and what ends and comes back: the cache becomes equal to the exchange, within the request budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from app.exchange.local.rest import GRANULARITIES
from tests.faults.ledger import most_in_a_second
from tests.oracle import Exchange, assert_true
from tests.support import eventually
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.0)]

StartExchange = Callable[..., Exchange]
StartSystem = Callable[..., System]


def test_the_start_takes_one_request_a_series_and_processes_that_end_or_die_lose_nothing(
    start_exchange: StartExchange, start_system: StartSystem
) -> None:
    exchange = start_exchange("--products", "6", "--start", "2021-03-04T00:00:00Z")
    system = start_system(exchange, PRODUCTS="all:USD", TIMEFRAMES="1m,5m,15m,1h,4h,1d", RECONCILE_SECONDS="86400")
    eventually(lambda: len(exchange.requests_for_candles()) > 5, timeout=40)
    assert system.context.queue.state().total > 5
    worker = system.processes["backfill"]
    assert worker.stop(timeout=20) == 0
    assert "Traceback" not in worker.output()
    system.start("backfill")
    eventually(lambda: system.has_started(6), timeout=60, interval=0.2)
    assert_a_page_a_series_at_the_pace_of_the_budget(exchange, series=6 * 6)
    for name in ("indicators", "backfill", "ingest"):
        system.processes[name].end()
    away_s = exchange.now_s()
    eventually(lambda: exchange.now_s() > away_s + 600, timeout=30, interval=0.2)
    system.start("indicators", "backfill", "ingest")
    eventually(lambda: system.now_s() > away_s + 700, timeout=30, interval=0.2)
    assert_true(system, exchange, timeout=60)


def assert_a_page_a_series_at_the_pace_of_the_budget(exchange: Exchange, series: int) -> None:
    pages = Counter(series_of(r) for r in exchange.requests_for_candles() if r["status"] == 200 and is_page(r))
    assert len(pages) == series
    assert set(pages.values()) == {1}
    ledger = exchange.get("/local/ledger")["requests"]
    assert not [r for r in ledger if r["status"] == 429]
    assert most_in_a_second([r["monotonic_s"] for r in ledger if not r["path"].startswith("/local")]) <= 5


def series_of(request: dict[str, Any]) -> tuple[str, str]:
    """Path, which names the product, and timeframe."""
    return request["path"], parse_qs(request["query"])["granularity"][0]


def is_page(request: dict[str, Any]) -> bool:
    """Whether it asks for all that one answer may have: the first request of a series."""
    query = parse_qs(request["query"])
    step = GRANULARITIES[query["granularity"][0]].seconds
    return (int(query["end"][0]) - int(query["start"][0])) // step >= 300
