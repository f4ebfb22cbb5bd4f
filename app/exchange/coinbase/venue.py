"""Coinbase (Advanced Trade, public market data)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.exchange.adapter import ExchangeRest, FeedEvent
from app.exchange.pacing import Limiter
from app.exchange.venue import Venue

if TYPE_CHECKING:
    from app.exchange.feed import Feed

# The exchange allows 8 new connections and 8 messages a second and address. A connection sends two messages at once
# (candles, heartbeats) and has five seconds for them, so half as many connections never queue behind their messages.
CONNECTIONS = Limiter(4)
MESSAGES = Limiter(8)


class Coinbase(Venue):
    name = "coinbase"
    ws_url = "wss://advanced-trade-ws.coinbase.com"
    rest_url = "https://api.coinbase.com"
    products = ("top:25:USD",)
    rest_requests_per_second = 5.0

    def feed(
        self, url: str, on_event: Callable[[FeedEvent], None], *, products_per_connection: int, close_grace_s: float
    ) -> Feed:
        from app.exchange.coinbase.session import CoinbaseSession
        from app.exchange.feed import Feed

        grace_ms = round(close_grace_s * 1000)
        return Feed(
            self.name,
            url,
            on_event,
            lambda connection, aliases: CoinbaseSession(connection, aliases=aliases, close_grace_ms=grace_ms),
            products_per_connection=products_per_connection,
            connections_limiter=CONNECTIONS,
            messages_limiter=MESSAGES,
        )

    def rest(self, url: str, timeout_s: float) -> ExchangeRest:
        from app.exchange.coinbase.rest import CoinbaseRest

        return CoinbaseRest(url, timeout_s)


VENUE = Coinbase()
