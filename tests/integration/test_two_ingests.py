"""Two real ingest processes with different products, and one half of the names each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from app.context import Context
from app.ingest.product_selection import is_in_share
from app.market.series import Series
from app.market.timeframes import BASE
from app.settings import Settings
from tests.oracle import Exchange
from tests.support import Process, eventually
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system]

FIRST = ["BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD", "DOGE-USD", "LTC-USD"]
SECOND = ["ETH-USD", "BTC-EUR", "ETH-BTC", "LINK-USD", "AVAX-USD"]
BOTH = {*FIRST, *SECOND}


def subscribed(exchange: Exchange) -> Counter[str]:
    """Subscriptions to each product at the exchange, over all connections."""
    found: Counter[str] = Counter()
    for event in exchange.get("/local/ledger")["websocket"]:
        if event["event"] == "message":
            message = json.loads(event["detail"])
            if message["type"] == "subscribe" and message["channel"] == "candles":
                found.update(message["product_ids"])
    return found


def test_each_product_is_fed_by_the_ingest_of_its_share(
    start_exchange: Callable[..., Exchange], processes: Callable[..., Process], redis_url: str
) -> None:
    exchange = start_exchange()
    urls = {"CANDLEWICK_COINBASE__WS_URL": exchange.ws_url, "CANDLEWICK_COINBASE__REST_URL": exchange.rest_url}
    system = System(
        processes,
        redis_url,
        {**urls, "CANDLEWICK_COINBASE__PRODUCTS": ",".join(FIRST), "CANDLEWICK_INGEST_SHARE": "1/2"},
    )
    system.start("ingest")
    other = {"CANDLEWICK_COINBASE__PRODUCTS": ",".join(SECOND), "CANDLEWICK_INGEST_SHARE": "2/2"}
    second = processes(system.command("ingest2"), env={**system.env, **other})
    context = Context(Settings.from_environment(system.env))

    eventually(lambda: set(context.products.delivered()) == BOTH)
    many = [Series("coinbase", product, BASE) for product in sorted(BOTH)]

    def are_all_fed() -> bool:
        last_s = BASE.bucket(exchange.now_s()) + BASE.seconds
        views = context.candles.read_many([(series, last_s - 20 * BASE.seconds, last_s) for series in many])
        without = [str(series) for series, view in zip(many, views, strict=True) if not len(view.records)]
        assert not without, f"no candle of {without}"
        return True

    eventually(are_all_fed)
    assert subscribed(exchange) == dict.fromkeys(BOTH, 1), "each once: nothing by nobody, nothing by both"
    assert {is_in_share(p, "2/2") for p in set(FIRST) - set(SECOND)} == {True, False}, "or this test shows nothing"

    system.processes["ingest"].end()
    second.stop()
    assert set(context.products.delivered()) == BOTH, "who stops, even at once, still knows its products"
    context.redis.close()
