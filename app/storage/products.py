"""The products that this installation follows, and the state of each.

They are the union of the selections of its ingest processes. `lua/follow_products.lua` decides when a part is removed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import orjson
from redis import Redis

from app.errors import InvalidInput
from app.market.product_ids import is_product_id, why_not
from app.storage import keys
from app.storage.connection import hash_at
from app.storage.entries import readable
from app.storage.scripts import script

LEASE_S = 60.0
"""Real seconds, by Redis' clock, after which a process that has not renewed its lease is considered dead."""

LOST = -1


class FollowedProduct(NamedTuple):
    """`source`: the product whose frames feed it (another one for an alias). `refused`: why there are none, or None."""

    product: str
    source: str
    refused: str | None = None


class ProductCache:
    """`process`: the name under which this process publishes its part."""

    def __init__(self, client: Redis, exchange: str, *, process: str | None = None, lease_s: float = LEASE_S) -> None:
        self._client = client
        self._key = keys.products(exchange)
        self._leases = keys.product_leases(exchange)
        self._keys = [self._key, self._leases, keys.product_parts(exchange)]
        self._process = process or f"{socket.gethostname()}:{os.getpid()}"
        self._lease_ms = int(lease_s * 1000)
        self._follow = script(client, "follow_products")
        self._refuse = script(client, "refuse_products")

    def follow(
        self,
        products: Iterable[FollowedProduct],
        *,
        feeds: Callable[[str], bool] = lambda _: True,
        has_selected: bool = True,
    ) -> None:
        """Replace this process's part of the followed products by exactly `products`, in one step.

        `feeds`: whether this process feeds a product; only then its row replaces the stored one. `has_selected`: the
        products were selected just now, which supersedes the parts of processes that were dead by then; False if the
        process keeps its earlier selection. Raises `InvalidInput` if a product is invalid.
        """
        args: list[str | bytes | int] = []
        for p in products:
            for name in (p.product, p.source):
                if not is_product_id(name):
                    raise InvalidInput(f"{name[:80]!r} cannot be followed: {why_not(name)}")
            args += [p.product, _row(p), int(feeds(p.product))]
        self._call("select" if has_selected else "keep", args)

    def renew(self) -> int | None:
        """Renew the lease of this process's part. Returns the revision of the followed products, which grows with
        every change; None if the part is missing, because Redis lost it or the process was considered dead.
        """
        revision = self._call("renew")
        return None if revision == LOST else revision

    def _call(self, verb: str, args: Iterable[str | bytes | int] = ()) -> int:
        return int(self._follow(keys=self._keys, args=[self._process, self._lease_ms, verb, *args]))

    def is_known(self) -> bool:
        """Whether any products are followed. False if Redis lost its data."""
        return bool(self._client.exists(self._key))

    def refuse(self, reasons: Mapping[str, str | None]) -> None:
        """Record why the exchange does not deliver these products; None: it delivers the product again."""
        refused = [p._replace(refused=reasons[p.product]) for p in self.read() if p.product in reasons]
        if refused:
            self._refuse(keys=[self._key, self._leases], args=[a for p in refused for a in (p.product, _row(p))])

    def read(self) -> list[FollowedProduct]:
        """All followed products, in alphabetical order. Unreadable rows are left out."""
        return readable("followed products", sorted(hash_at(self._client, self._key).items()), _followed)

    def delivered(self) -> list[str]:
        """The names of the products that the exchange delivers."""
        return [p.product for p in self.read() if p.refused is None]


def _row(product: FollowedProduct) -> bytes:
    return orjson.dumps({"source": product.source, "refused": product.refused})


def _followed(entry: tuple[bytes, bytes]) -> FollowedProduct:
    """The product in an entry of the hash. Raises `ValueError` or similar if malformed."""
    name, data = entry[0].decode(), orjson.loads(entry[1])
    source, refused = data["source"], data["refused"]
    if not is_product_id(name) or not is_product_id(source) or not isinstance(refused, str | None):
        raise ValueError("not a followed product")
    return FollowedProduct(name, source, refused)
