"""Keeps this process's part of the followed products in Redis, and knows which of all of them it feeds.

Products are followed if any ingest process has selected them; each process feeds those whose name is in its share,
whoever selected them. So what is fed by whom depends on names alone, however the processes' listings differ.
"""

from __future__ import annotations

import logging
import threading
from typing import NamedTuple

from app.ingest.product_selection import Selection, Selector, is_in_share, share_of
from app.storage.products import FollowedProduct, ProductCache
from app.util.stop import Stop

log = logging.getLogger(__name__)


class SelectionChange(NamedTuple):
    """Products that this process feeds from now on, and those that it feeds no longer.

    `lost`: Redis has lost what was followed, and with it everything else.
    """

    new: list[FollowedProduct]
    gone: list[str]
    lost: bool = False


class Following:
    """`check` is for one thread; the selection may be completed by another one."""

    def __init__(self, products: ProductCache, share: str, selection: Selection) -> None:
        self._products = products
        self._share = share
        self._selection = selection
        self._published: Selection | None = None
        self._revision: int | None = None
        self._followed: dict[str, FollowedProduct] = {}
        self._fed: set[str] = set()

    def complete(self, selector: Selector, stop: Stop) -> None:
        """Have the selection completed in the background, and held against the listing from then on."""
        threading.Thread(target=self._complete, args=(selector, stop), name="selection", daemon=True).start()

    def _complete(self, selector: Selector, stop: Stop) -> None:
        while not stop.wait(self._selection.look_again_s):
            self._selection = selector.again(self._selection)

    def check(self) -> SelectionChange:
        """Renew this process's part, and see what has changed since the last look. Raises redis' errors.

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
        mine = [p for p in share_of(self._followed.values(), self._share) if not p.refused or p.product in fed]
        self._fed = {p.product for p in mine}
        return SelectionChange([p for p in mine if p.product not in fed], sorted(fed - self._fed), lost)

    def _publish(self) -> None:
        selection = self._selection
        published = self._published
        if published is None or (selection.products, selection.is_own) != (published.products, published.is_own):
            self._products.follow(selection.products, feeds=self._feeds, has_selected=selection.is_own)
            self._published = selection

    def _restore(self) -> bool:
        """Publish this process's part again, as it was last seen; whether everything was lost."""
        lost = not self._products.is_known()
        products = [self._followed.get(p.product, p) for p in self._selection.products]
        self._products.follow(products, feeds=self._feeds, has_selected=False)
        if not lost:
            log.warning("this process was taken for dead: its part of the followed products is published again")
        return lost

    def _feeds(self, product: str) -> bool:
        return is_in_share(product, self._share)
