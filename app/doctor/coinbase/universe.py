"""The products to listen to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.errors import InvalidInput
from app.exchange.listing import Listing
from app.exchange.product_selection import aliases, select_products, unmatched, untradable

DEFAULT = "BTC-USD"
"""Listened to if there is no listing, and no product is named."""


class Universe(NamedTuple):
    """`products`: all that are requested. `busiest_first`: those that trade. `sources`: what feeds each alias."""

    products: list[str]
    busiest_first: list[str]
    sources: dict[str, str]


def choose(selection: Sequence[str], listing: Listing | None) -> Universe:
    """The products of `selection`, by the listing if there is one.

    Raises `InvalidInput` if it matches nothing.
    """
    if listing is None:
        named = [part for part in selection if ":" not in part] or [DEFAULT]
        return Universe(named, named, {})
    listed = listing.products
    products = select_products(selection, listed)
    if not products:
        hints = "; ".join(f"{part}: {hint}" for part, hint in unmatched(selection, listed).items())
        raise InvalidInput(f"the selection of products matches nothing: {hints}")
    volume = {p.product: p.quote_volume_24h for p in listed}
    trading = [product for product, reason in untradable(products, listed).items() if reason is None]
    busiest_first = sorted(trading or products, key=lambda product: -volume.get(product, 0.0))
    return Universe(products, busiest_first, aliases(listed))
