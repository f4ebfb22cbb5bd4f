"""The exchanges that can be followed, and the defaults of their settings. The only list of their names."""

from __future__ import annotations

from typing import NamedTuple


class Exchange(NamedTuple):
    """An exchange: its `name` is the section of its settings, and a part of keys in Redis."""

    name: str
    ws_url: str
    rest_url: str
    products: tuple[str, ...]
    rest_requests_per_second: float


REGISTRY = {
    exchange.name: exchange
    for exchange in (
        Exchange(
            "coinbase",
            ws_url="wss://advanced-trade-ws.coinbase.com",
            rest_url="https://api.coinbase.com",
            products=("top:25:USD",),
            rest_requests_per_second=5.0,
        ),
    )
}
"""By name; the first one is followed by default."""
