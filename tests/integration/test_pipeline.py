"""The main task, end to end, with real processes: from frames to true candles and indicators."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.oracle import Exchange, assert_true, followed
from tests.recorded import CANDLES
from tests.support import eventually
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=1.5)]

START = "2021-03-04T00:00:00Z"
"""Years away from the machine's clock."""


def assert_true_until_now(system: System, exchange: Exchange, unbroken_s: float) -> None:
    """The cache holds the truth up to the present moment, soon after that has settled.

    The stream was unbroken since `unbroken_s`: empty buckets since then are known to be empty.
    """
    now_s = exchange.now_s()
    system.wait_until(now_s + 120)
    assert_true(system, exchange, now_s=now_s, unbroken_s=unbroken_s)


def test_every_candle_and_every_indicator_is_true(
    start_exchange: Callable[..., Exchange], start_system: Callable[..., System]
) -> None:
    exchange = start_exchange("--seed", "7", "--start", START, "--option", "snapshot_order=shuffled")
    products = ["BTC-USD", "ETH-USD", "SOL-USD"]
    thin = [p["product_id"] for p in exchange.get("/api/v3/brokerage/market/products")["products"]][-6:-3]
    named = ",".join([*products, *thin, "NOPE-USD"])
    system = start_system(
        exchange, CANDLEWICK_COINBASE__PRODUCTS=named, CANDLEWICK_RECONCILE_SECONDS="86400"
    )  # without reconciliation
    eventually(lambda: system.has_started(len(products)), interval=0.2)
    started_s, requests_of_the_start = exchange.now_s(), len(exchange.requests_for_candles())
    for _ in range(6):
        exchange.inject("garbage")
        system.wait_until(exchange.now_s() + 300)
    assert sorted(followed(system, exchange)) == sorted([*products, *thin]) == system.context.products.delivered()
    assert_true_until_now(system, exchange, unbroken_s=started_s)
    busy = [r for r in exchange.requests_for_candles()[requests_of_the_start:] if "/BTC-USD/" in r["path"]]
    assert busy == [], "a product that always trades is closed by the stream alone"


def test_real_candles_come_out_as_they_went_in(
    start_exchange: Callable[..., Exchange], start_system: Callable[..., System]
) -> None:
    exchange = start_exchange("--market-data", str(CANDLES), "--start", "2018-01-20T00:00:00Z")
    products = ["ETH-BTC", "XLM-BTC"]
    system = start_system(exchange, CANDLEWICK_COINBASE__PRODUCTS=",".join(products))
    eventually(lambda: system.has_started(len(products)), interval=0.2)
    started_s = exchange.now_s()
    system.wait_until(started_s + 900)
    assert sorted(followed(system, exchange)) == sorted(products) == system.context.products.delivered()
    assert_true_until_now(system, exchange, unbroken_s=started_s)
