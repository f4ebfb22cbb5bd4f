"""The products to listen to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.doctor.coinbase.evidence import Response
from app.errors import InvalidInput
from app.exchange.coinbase.listing import read_listing
from app.exchange.coinbase.product_selection import aliases, select_products, unmatched, untradable

DEFAULT = "BTC-USD"
"""Listened to if there is no listing, and no product is named."""


class Universe(NamedTuple):
    """`products`: all that are requested. `busiest_first`: those that trade. `sources`: what feeds each alias."""

    products: list[str]
    busiest_first: list[str]
    sources: dict[str, str]


def choose(selection: Sequence[str], response: Response | None) -> Universe:
    """The products of `selection`, by the listing in `response` if there is one.

    Raises `InvalidInput` if it matches nothing.
    """
    rows = response.body.get("products") if response is not None and response.is_fine else None
    if not isinstance(rows, list):
        named = [part for part in selection if ":" not in part] or [DEFAULT]
        return Universe(named, named, {})
    listed = read_listing(rows).products
    products = select_products(selection, listed)
    if not products:
        hints = "; ".join(f"{part}: {hint}" for part, hint in unmatched(selection, listed).items())
        raise InvalidInput(f"the selection of products matches nothing: {hints}")
    volume = {p.product_id: p.quote_volume_24h for p in listed}
    trading = [product for product, reason in untradable(products, listed).items() if reason is None]
    busiest_first = sorted(trading or products, key=lambda product: -volume.get(product, 0.0))
    return Universe(products, busiest_first, aliases(listed))
