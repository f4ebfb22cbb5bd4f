"""The products that this installation follows, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from redis import Redis

from app.cache import keys
from app.cache.connection import hash_at


class FollowedProduct(NamedTuple):
    """`source` is the product whose frames feed it (another one for an alias); `refused` says why there are none."""

    product: str
    source: str
    refused: str | None = None


class ProductCache:
    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._key = keys.products(exchange)

    def follow(self, products: Iterable[FollowedProduct]) -> None:
        """Make these the followed products, all of them and no others, in one step."""
        rows: dict[Any, Any] = {p.product: orjson.dumps({"source": p.source, "refused": p.refused}) for p in products}
        with self._client.pipeline(transaction=True) as pipe:
            pipe.delete(self._key)
            if rows:
                pipe.hset(self._key, mapping=rows)
            pipe.execute()

    def is_known(self) -> bool:
        """Whether any products are followed: a cache that lost its data knows of none."""
        return bool(self._client.exists(self._key))

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Record why the exchange does not deliver these products."""
        known = self.read()
        rows: dict[Any, Any] = {
            p.product: orjson.dumps({"source": p.source, "refused": reasons[p.product]})
            for p in known
            if p.product in reasons
        }
        if rows:
            self._client.hset(self._key, mapping=rows)

    def read(self) -> list[FollowedProduct]:
        """All followed products, in alphabetical order."""
        rows = hash_at(self._client, self._key)
        return [
            FollowedProduct(name.decode(), (data := orjson.loads(raw))["source"], data["refused"])
            for name, raw in sorted(rows.items())
        ]

    def delivered(self) -> list[str]:
        """The names of those that the exchange delivers."""
        return [p.product for p in self.read() if p.refused is None]
