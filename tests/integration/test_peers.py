"""Third-party clients work against the local exchange as they do against the real one.

Tests import them, because every process that runs tests would import them otherwise.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from app.market.timeframes import Timeframe
from simulator import LocalExchange, SeededMarket
from tests.support import PATIENCE_S, eventually

pytestmark = [pytest.mark.integration, pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

START_S = 1_614_816_000


@pytest.fixture(scope="module")
def exchange() -> Iterator[LocalExchange]:

    with LocalExchange(SeededMarket(7, start_s=START_S), speed=60, start_ms=START_S * 1000 + 7_200_000) as exchange:
        yield exchange


def test_the_official_websocket_client(exchange: LocalExchange) -> None:
    from coinbase import websocket

    frames: list[dict[str, Any]] = []
    client = websocket.WSClient(base_url=exchange.ws_url, on_message=lambda text: frames.append(json.loads(text)))
    client.open()
    client.candles(product_ids=["BTC-USD", "ETH-USDC"])
    client.heartbeats()

    def of(channel: str) -> list[dict[str, Any]]:
        return [frame for frame in frames if frame["channel"] == channel]

    eventually(lambda: len(of("heartbeats")) >= 2 and len(of("candles")) >= 4 and len(of("subscriptions")) == 2)
    client.close()
    assert [f["sequence_num"] for f in frames] == list(range(len(frames)))


def test_the_official_response_types(exchange: LocalExchange) -> None:
    """They need a `client_id`, which current frames do not have."""
    from coinbase import websocket

    exchange.inject("client_id")
    typed: list[Any] = []
    client = websocket.WSClient(
        base_url=exchange.ws_url, on_message=lambda text: typed.append(websocket.WebsocketResponse(json.loads(text)))
    )
    client.open()
    client.candles(product_ids=["BTC-USD", "ETH-USDC"])
    client.heartbeats()
    eventually(lambda: len([f for f in typed if f.channel == "candles"]) > 3 and typed[-1].channel == "heartbeats")
    client.close()
    exchange.clear()
    candles = [candle for frame in typed if frame.channel == "candles" for e in frame.events for candle in e.candles]
    assert {candle.product_id for candle in candles} == {"BTC-USD", "ETH-USD"}


def test_the_official_rest_client(exchange: LocalExchange) -> None:
    from coinbase import rest

    class WithoutTls(HTTPAdapter):
        """The client insists on https://; the local exchange has no certificate."""

        def send(self, request: Any, **options: Any) -> Any:
            request.url = request.url.replace("https://", "http://", 1)
            return super().send(request, **options)

    client = rest.RESTClient(base_url=exchange.rest_url.removeprefix("http://"))
    client.session.mount("https://", WithoutTls())
    with closing(client.session):
        listed = client.get_public_products(product_type="SPOT").products
        assert {"BTC-USD", "BTC-USDC", "REN-USD"} <= {product.product_id for product in listed}
        assert client.get_public_product("BTC-USD").alias_to == ["BTC-USDC"]
        candles = client.get_public_candles("BTC-USD", str(START_S), str(START_S + 6_600), "FIVE_MINUTE").candles
        truth = exchange.truth("BTC-USD", Timeframe.M5, START_S, START_S + 6_601)
        assert [candle.to_dict() for candle in reversed(candles)] == truth
        assert len(truth) == 23
        assert len(client.get_public_market_trades("ETH-USD", 10).trades) == 10
        assert client.get_public_product_book("BTC-USD", 5).pricebook.product_id == "BTC-USD"
        before_ms = exchange.clock.now_ms()
        time_ms = int(client.get_unix_time().to_dict()["epoch_millis"])
        assert before_ms <= time_ms <= exchange.clock.now_ms()


def test_ccxt(exchange: LocalExchange) -> None:
    import ccxt

    client = ccxt.coinbase({"urls": {"api": {"rest": exchange.rest_url}}})
    markets = client.load_markets()
    assert markets["BTC/USD"]["active"] is True
    assert markets["REN/USD"]["active"] is False
    rows = client.fetch_ohlcv("BTC/USD", "5m", since=START_S * 1000, limit=24)
    truth = exchange.truth("BTC-USD", Timeframe.M5, START_S, START_S + 7_200)
    assert rows[: len(truth)] == [
        [int(c["start"]) * 1000, *(float(c[name]) for name in ("open", "high", "low", "close", "volume"))]
        for c in truth
    ]
    ids = [int(trade["id"]) for trade in client.fetch_trades("ETH/USD", limit=50)]
    assert [b - a for a, b in pairwise(ids)] == [1] * 49
    assert client.fetch_ticker("BTC/USD")["symbol"] == "BTC/USD"
    before_ms = exchange.clock.now_ms()
    assert before_ms <= client.fetch_time() <= exchange.clock.now_ms()


def test_ccxt_pro(exchange: LocalExchange) -> None:
    from ccxt import pro

    async def watched() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        client = pro.coinbase({"urls": {"api": {"rest": exchange.rest_url, "ws": exchange.ws_url}}})
        try:
            trades: list[dict[str, Any]] = []
            while len(trades) < 105:
                trades += await client.watch_trades("BTC/USD")
            return trades, await client.watch_ticker("ETH/USD")
        finally:
            await client.close()

    trades, ticker = asyncio.run(asyncio.wait_for(watched(), PATIENCE_S))
    assert {trade["symbol"] for trade in trades} == {"BTC/USD"}
    assert len({trade["id"] for trade in trades}) > 100
    assert ticker["symbol"] == "ETH/USD"
    assert ticker["last"] > 0
