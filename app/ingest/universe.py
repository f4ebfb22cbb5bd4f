"""Which products are followed: the settings' selection, made concrete with the exchange's listing."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

from app.cache.products import FollowedProduct
from app.context import Context
from app.errors import ExchangeError, Throttled
from app.exchange.coinbase.models import Product
from app.exchange.coinbase.universe import aliases, doubts, select_products

log = logging.getLogger(__name__)

LONGEST_DELAY_S = 30.0


def resolve(context: Context, stop: threading.Event) -> list[FollowedProduct]:
    """The products to follow, also written to the cache. Tries until the exchange answers or `stop` is set.

    An installation that was here before goes on with the products it had, if the exchange cannot be reached.
    """
    delay_s = 0.5
    while not stop.is_set():
        try:
            if listing := _listing(context, stop):
                followed = _chosen(context.settings.products, listing)
                context.products.follow(followed)
                return followed
        except ExchangeError as error:
            if known := context.products.read():
                log.warning("products: %s; going on with the %d known ones", error, len(known))
                return known
            log.warning("products: cannot reach %s: %s; trying again", context.settings.exchange_rest_url, error)
            stop.wait(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(LONGEST_DELAY_S, 2 * delay_s)
    return []


def _listing(context: Context, stop: threading.Event) -> list[Product]:
    """The exchange's listing; nothing where the budget had no permit in time."""
    permit = context.budget.acquire(timeout_s=30, stop=stop)
    if permit is None:
        return []
    answered = False
    try:
        listing = context.rest.products()
        answered = True
        return listing
    except Throttled as error:
        context.budget.pause(error.retry_after_s)
        raise
    finally:
        permit.give_back(answered=answered)


def _chosen(selection: Sequence[str], listing: Sequence[Product]) -> list[FollowedProduct]:
    sources, reasons = aliases(listing), doubts(selection, listing)
    return [FollowedProduct(p, sources.get(p, p), reasons.get(p)) for p in select_products(selection, listing)]


def share_of(followed: list[FollowedProduct], share: str) -> list[FollowedProduct]:
    """The part of `followed` that an ingest with this share (`2/3`: the second of three) takes."""
    part, of = map(int, share.split("/"))
    return followed[part - 1 :: of]
