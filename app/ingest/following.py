"""Keeps this process's part of the followed products in Redis, and knows which products it feeds.

A product is followed if any ingest process has selected it. Each process feeds the products whose names are in its
share, whichever process selected them. So feeding depends on names alone, even if the processes' listings differ.
"""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from app.ingest.product_selection import Selection, Selector, is_in_share
from app.storage.products import FollowedProduct, ProductCache
from app.util.stop import Stop

log = logging.getLogger(__name__)


class SelectionChange(NamedTuple):
    """Products that this process feeds from now on, and products that it no longer feeds.

    `lost`: Redis has lost the followed products, and with them everything else.
    """

    new: list[FollowedProduct]
    gone: list[str]
    lost: bool = False


class Following:
    """`check` is for one thread; another one may complete the selection."""

    def __init__(self, products: ProductCache, share: str, selection: Selection) -> None:
        self._products = products
        self._share = share
        self._selection = selection
        self._published: Selection | None = None
        self._revision: int | None = None
        self._followed: dict[str, FollowedProduct] = {}
        self._fed: set[str] = set()

    def complete(self, selector: Selector, stop: Stop) -> None:
        """Complete the selection in the background, and compare it with the listing from then on."""
        threading.Thread(target=self._complete, args=(selector, stop), name="selection", daemon=True).start()

    def _complete(self, selector: Selector, stop: Stop) -> None:
        while not stop.wait(self._selection.check_again_s):
            self._selection = selector.again(self._selection)

    def check(self) -> SelectionChange:
        """Renew this process's part; returns the changes since the last check. Raises redis' errors.

        A product that the exchange refuses is not fed, unless it was before: its session requests it now and then.
        """
        self._publish()
        revision = self._products.renew()
        lost = False
        if revision is None:
            lost = self._restore()
            revision = self._products.renew()
        if revision == self._revision:
            return SelectionChange([], [], lost)
        self._followed = {p.product: p for p in self._products.read()}
        self._revision = revision
        fed = self._fed
        offered = (p for p in self._followed.values() if not p.refused or p.product in fed)
        mine = [p for p in offered if self._feeds(p.product)]
        self._fed = {p.product for p in mine}
        return SelectionChange([p for p in mine if p.product not in fed], sorted(fed - self._fed), lost)

    def _publish(self) -> None:
        selection = self._selection
        published = self._published
        if published is None or (selection.products, selection.is_own) != (published.products, published.is_own):
            self._products.follow(selection.products, feeds=self._feeds, has_selected=selection.is_own)
            self._published = selection

    def _restore(self) -> bool:
        """Publish this process's part again, as last read; returns whether everything was lost."""
        lost = not self._products.is_known()
        products = [self._followed.get(p.product, p) for p in self._selection.products]
        self._products.follow(products, feeds=self._feeds, has_selected=False)
        if not lost:
            log.warning("the lease on this process's products expired: publishing its part of them again")
        return lost

    def _feeds(self, product: str) -> bool:
        return is_in_share(product, self._share)
