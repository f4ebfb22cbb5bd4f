"""Health of the feed, as each ingest process reports it."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

import orjson
from redis import Redis

from app.storage import keys
from app.storage.connection import hash_at
from app.storage.entries import readable

STALE_MS = 15_000
"""A process that has not reported for this long is considered gone."""


class HealthCache:
    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._key = keys.health(exchange)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._has_stored = False

    def store(self, connections: Sequence[Any], *, dropped: int) -> None:
        """Store this process' connections (dataclasses) and its number of dropped candles."""
        if not self._has_stored:
            self.read()  # removes processes that are gone, even if nothing else reads
        seconds, micros = self._client.time()
        row = {
            "stored_ms": seconds * 1000 + micros // 1000,
            "dropped": dropped,
            "connections": list(connections),
        }
        self._client.hset(self._key, self._name, orjson.dumps(row, default=str))
        self._has_stored = True

    def read(self) -> dict[str, dict[str, Any]]:
        """The last report of each running ingest process, with its age in ms. Removes processes that are gone."""
        seconds, micros = self._client.time()
        now_ms = seconds * 1000 + micros // 1000
        running: dict[str, dict[str, Any]] = {}
        for name, row in readable("health of ingests", hash_at(self._client, self._key).items(), _row):
            if now_ms - row["stored_ms"] > STALE_MS:
                self._client.hdel(self._key, name)
            else:
                running[name] = {**row, "age_ms": now_ms - row["stored_ms"]}
        return running


def _row(entry: tuple[bytes, bytes]) -> tuple[str, dict[str, Any]]:
    """Name and report of a process. Raises `ValueError` or similar if malformed."""
    row = orjson.loads(entry[1])
    if not isinstance(row["stored_ms"], int) or not isinstance(row["dropped"], int):
        raise ValueError("a number is missing")
    if not isinstance(row["connections"], list):
        raise ValueError("connections are missing")
    return entry[0].decode(), row
