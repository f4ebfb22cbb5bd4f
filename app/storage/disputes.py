"""Disputes: REST contradicts a candle that was certain, until another response agrees or withdraws it."""

from __future__ import annotations

from collections.abc import Container
from typing import cast

import numpy as np
from redis import Redis

from app.market.records import RECORD, Records
from app.market.series import Series
from app.storage import keys
from app.storage.connection import hash_at


class Disputes:
    """Disputed buckets of each series, as records. `observed_ms`: when REST first contradicted. Bounded by its ring."""

    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._key = keys.backfill(exchange, "disputes")

    def read(self, series: Series) -> Records:
        raw = cast("bytes | None", self._client.hget(self._key, _field(series)))
        return np.frombuffer(raw or b"", RECORD)

    def write(self, series: Series, disputed: Records) -> None:
        """Replace the disputed buckets of `series`."""
        if len(disputed):
            self._client.hset(self._key, _field(series), disputed.tobytes())
        else:
            self._client.hdel(self._key, _field(series))

    def forget(self, products: Container[str]) -> None:
        """Drop the disputes of all but `products`."""
        gone = [name for name in hash_at(self._client, self._key) if name.decode().split("|")[0] not in products]
        if gone:
            self._client.hdel(self._key, *gone)


def _field(series: Series) -> str:
    return f"{series.product}|{series.timeframe}"
