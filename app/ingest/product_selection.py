"""Selects this process's products: the settings' selection, resolved with the exchange's listing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from itertools import count
from typing import NamedTuple

from redis.exceptions import RedisError

from app.backfill.rest import BudgetedRest
from app.errors import ExchangeError
from app.exchange.adapter import ExchangeRest
from app.exchange.listing import ListedProduct, Listing
from app.exchange.product_selection import (
    UNLISTED,
    aliases,
    doubts,
    select_products,
    unmatched,
    untradable,
)
from app.settings import Settings
from app.storage import rejected
from app.storage.products import FollowedProduct
from app.storage.stores import Stores
from app.util.backoff import jittered_s
from app.util.stop import Stop
from app.util.timestamps import format_utc

log = logging.getLogger(__name__)

MAX_DELAY_S = 30.0

ATTEMPTS = 3
"""Attempts to read the listing before products named one by one are followed without it."""

SELECT_EVERY_S = 300.0
"""Real seconds between two reads of the listing while a part of the selection is open."""

LISTING_EVERY_S = 3600.0
"""Real seconds between two reads of the listing if no part is open: products may be delisted, or listed again."""


class Selection(NamedTuple):
    """The products that this process selected. `open_parts`: the parts of the setting that matched nothing yet.

    `is_own`: False if they are the products followed before, because there is no listing. `unlisted`: products missing
    from the last listing; a second one must agree, since a response may be short.
    """

    products: list[FollowedProduct]
    open_parts: tuple[str, ...] = ()
    is_own: bool = True
    unlisted: frozenset[str] = frozenset()

    @property
    def check_again_s(self) -> float:
        """Real seconds until the next read of the listing."""
        return LISTING_EVERY_S if self.is_own and not (self.open_parts or self.unlisted) else SELECT_EVERY_S


class Selector:
    """Makes the selection of this process, and completes it while parts of it match nothing."""

    def __init__(self, stores: Stores, settings: Settings, rest: BudgetedRest, stop: Stop) -> None:
        self._stores = stores
        self._settings = settings.exchange(stores.exchange)
        self._rest = rest
        self._stop = stop
        self._reported: set[str] = set()
        self._rejected: dict[str, str] = {}

    def first(self) -> Selection | None:
        """The selection. Tries until the exchange answers; None if `stop` is set before.

        An existing installation continues with the products it had if the exchange cannot be reached.
        """
        for attempt in count(1):
            if self._stop.is_set():
                return None
            try:
                if listing := self._listing():
                    return self._made(self._settings.products, listing)
            except ExchangeError as error:
                if selection := self._without_listing(attempt):
                    log.warning("products: %s; continuing with %d without the listing", error, len(selection.products))
                    return selection
                url = self._settings.rest_url
                log.warning("products: no listing from %s: %s; retrying", url, error)
                self._stop.wait(jittered_s(attempt, first_s=1.0, max_s=MAX_DELAY_S))
            except RedisError as error:
                log.warning("cannot use Redis yet (%s): retrying", error)
                self._stop.wait(1.0)
        return None

    def again(self, before: Selection) -> Selection:
        """`before`, completed from the current listing, with delisted products refused; the same object if nothing has
        changed or the listing cannot be read.
        """
        try:
            listing = self._listing()
            if listing is None:
                return before
            more = self._made(before.open_parts if before.is_own else self._settings.products, listing)
            judged, unlisted = _judged(before, listing, self._today())
        except (ExchangeError, RedisError) as error:
            log.info("products: cannot read the listing: %s; retrying in %.0f s", error, before.check_again_s)
            return before
        if not before.is_own:
            return more
        known = {p.product: p for p in judged}
        products = list({**known, **{p.product: p for p in more.products}}.values())
        after = more._replace(products=products, unlisted=unlisted)
        return before if after == before else after

    def _today(self) -> str:
        clock = self._stores.clock.read()
        return f" (seen {format_utc(clock.exchange_s)} UTC)" if clock else ""

    def _made(self, parts: Sequence[str], listing: Listing) -> Selection:
        missing = unmatched(parts, listing.products)
        self._report(missing, listing)
        return Selection(_chosen(parts, listing.products), tuple(missing))

    def _report(self, missing: dict[str, str], listing: Listing) -> None:
        """Report each fact once, however often the listing is read."""
        new = {name: reason for name, reason in listing.rejected.items() if self._rejected.get(name) != reason}
        rejected.note(self._stores.redis, "product listing", [f"{name} ({reason})" for name, reason in new.items()])
        self._rejected = dict(listing.rejected)
        for part, hint in missing.items():
            if part not in self._reported:
                minutes = SELECT_EVERY_S / 60
                log.warning("products: %s matches nothing: %s (checked again every %.0f min)", part, hint, minutes)
        self._reported = set(missing)

    def _without_listing(self, attempt: int) -> Selection | None:
        """A selection without the listing: the products followed before, or, after some attempts, all named by id."""
        named = self._settings.products
        if known := self._stores.products.read():
            return Selection(known, is_own=False)
        if attempt < ATTEMPTS or any(":" in part for part in named):
            return None
        return Selection([FollowedProduct(p, p) for p in named])

    def _listing(self) -> Listing | None:
        """The exchange's listing; None if the budget had no permit in time."""
        listing: Listing | None = None
        while listing is None or not listing.is_last:
            with self._rest.permit(timeout_s=30, stop=self._stop) as permit:
                if permit is None:
                    return None
                listing = permit.request("products", partial(_next_part, listing))
        if listing.is_short:
            log.warning("products: the listing has %d of %s rows", listing.rows, listing.expected_rows)
        return listing


def _next_part(before: Listing | None, rest: ExchangeRest) -> Listing:
    return rest.products(before)


def _chosen(selection: Sequence[str], listing: Sequence[ListedProduct]) -> list[FollowedProduct]:
    sources, reasons = aliases(listing), doubts(selection, listing)
    return [FollowedProduct(p, sources.get(p, p), reasons.get(p)) for p in select_products(selection, listing)]


def _judged(before: Selection, listing: Listing, when: str) -> tuple[list[FollowedProduct], frozenset[str]]:
    """The products of `before`, refused (with `when`) if delisted and no longer refused if listed again; and the
    products not found for the first time.
    """
    reasons = untradable([p.product for p in before.products], listing.products)
    absent = {name for name, reason in reasons.items() if reason == UNLISTED}
    missing = frozenset(p.product for p in before.products if p.product in absent and not p.refused)
    if listing.is_short:
        missing = frozenset()
    judged = []
    for p in before.products:
        reason, known = reasons[p.product], p.refused
        if p.product in missing - before.unlisted or (listing.is_short and p.product in absent):
            pass
        elif reason and not (known or "").startswith(reason):
            log.warning("%s is refused: %s%s; checked again every hour", p.product, reason, when)
            p = p._replace(refused=f"{reason}{when}")
        elif known and not reason:
            log.info("%s is back: the exchange lists it as tradable", p.product)
            p = p._replace(refused=None)
        judged.append(p)
    return judged, missing - before.unlisted


def is_in_share(product: str, share: str) -> bool:
    """Whether a product belongs to a share (`2/3`: the second of three): by its name alone, so that all agree."""
    part, of = map(int, share.split("/"))
    digest = blake2b(product.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % of == part - 1
