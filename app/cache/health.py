"""How the feed is doing, as each ingest process sees it."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

import orjson
from redis import Redis

from app.cache import keys
from app.cache.connection import hash_at

STALE_MS = 15_000
"""A process that has not said anything for so long is taken for gone."""


class HealthCache:
    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._key = keys.health(exchange)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._told = False

    def tell(self, connections: Sequence[Any], *, dropped: int) -> None:
        """Write down this process' connections (dataclasses) and how many candles it had to drop."""
        if not self._told:
            self.read()  # those that are gone must not pile up, whether anybody looks or not
        seconds, micros = self._client.time()
        row = {
            "told_ms": seconds * 1000 + micros // 1000,
            "dropped": dropped,
            "connections": list(connections),
        }
        self._client.hset(self._key, self._name, orjson.dumps(row, default=str))
        self._told = True

    def read(self) -> dict[str, dict[str, Any]]:
        """What each live ingest process told last, with its age in ms; those that are gone are removed."""
        seconds, micros = self._client.time()
        now_ms = seconds * 1000 + micros // 1000
        alive: dict[str, dict[str, Any]] = {}
        for name, raw in hash_at(self._client, self._key).items():
            row = orjson.loads(raw)
            if now_ms - row["told_ms"] > STALE_MS:
                self._client.hdel(self._key, name)
            else:
                alive[name.decode()] = {**row, "age_ms": now_ms - row["told_ms"]}
        return alive
