"""A feed of Coinbase for tests: any limit and time-out may be replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.exchange.adapter import FeedEvent
from app.exchange.coinbase.session import CoinbaseSession
from app.exchange.coinbase.venue import CONNECTIONS, MESSAGES
from app.exchange.feed import Feed


def coinbase_feed(
    url: str, on_event: Callable[[FeedEvent], None], *, close_grace_seconds: float = 2.0, **options: Any
) -> Feed:
    defaults = {"products_per_connection": 100, "connections_limiter": CONNECTIONS, "messages_limiter": MESSAGES}
    grace_ms = round(close_grace_seconds * 1000)
    return Feed(
        "coinbase",
        url,
        on_event,
        lambda name, aliases: CoinbaseSession(name, aliases=aliases, close_grace_ms=grace_ms),
        **(defaults | options),
    )
