"""Which products are followed: the settings' selection, made concrete with the exchange's listing."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from itertools import count

from app.cache.products import FollowedProduct
from app.context import Context
from app.errors import ExchangeError
from app.exchange.coinbase.models import Product
from app.exchange.coinbase.universe import aliases, doubts, select_products
from app.stop import Stop

log = logging.getLogger(__name__)

LONGEST_DELAY_S = 30.0

ATTEMPTS = 3
"""To get the listing, before products that the settings name one by one are followed without it."""


def resolve(context: Context, stop: Stop) -> list[FollowedProduct]:
    """The products to follow, also written to the cache. Tries until the exchange answers or `stop` is set.

    An installation that was here before goes on with the products it had, if the exchange cannot be reached.
    """
    for attempt in count(1):
        if stop.is_set():
            return []
        try:
            if listing := _listing(context, stop):
                followed = _chosen(context.settings.products, listing)
                context.products.follow(followed)
                return followed
        except ExchangeError as error:
            if followed := _without_listing(context, attempt):
                log.warning("products: %s; going on with %d without the listing", error, len(followed))
                return followed
            log.warning("products: cannot reach %s: %s; trying again", context.settings.exchange_rest_url, error)
            stop.wait(min(LONGEST_DELAY_S, 0.5 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0))
    return []


def _without_listing(context: Context, attempt: int) -> list[FollowedProduct]:
    """Products to follow unlisted: those of before, or, after some attempts, those that are named one by one."""
    named = context.settings.products
    if known := context.products.read():
        return known
    if attempt < ATTEMPTS or any(":" in part for part in named):
        return []
    followed = [FollowedProduct(p, p) for p in named]
    context.products.follow(followed)
    return followed


def _listing(context: Context, stop: Stop) -> list[Product]:
    """The exchange's listing; nothing where the budget had no permit in time."""
    with context.budgeted_rest.permit(timeout_s=30, stop=stop) as permit:
        return permit.request("products", lambda rest: rest.products()) if permit else []


def _chosen(selection: Sequence[str], listing: Sequence[Product]) -> list[FollowedProduct]:
    sources, reasons = aliases(listing), doubts(selection, listing)
    return [FollowedProduct(p, sources.get(p, p), reasons.get(p)) for p in select_products(selection, listing)]


def share_of(followed: list[FollowedProduct], share: str) -> list[FollowedProduct]:
    """The part of `followed` that an ingest with this share (`2/3`: the second of three) takes."""
    part, of = map(int, share.split("/"))
    return followed[part - 1 :: of]
