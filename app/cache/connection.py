"""How this project connects to Redis."""

from __future__ import annotations

from typing import cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry

UNAVAILABLE = (ConnectionError, TimeoutError, BusyLoadingError)
"""Redis cannot be reached now; the same call may work later."""


def connect(url: str, *, timeout_s: float = 5.0, tries: int = 1) -> Redis:
    """A client for `url` whose calls end within about `timeout_s` × (`tries` + 1): callers decide what to do then."""
    return Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=25,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), tries),
    )


def hash_at(client: Redis, key: str) -> dict[bytes, bytes]:
    """The hash at `key`, empty where there is none."""
    return cast("dict[bytes, bytes]", client.hgetall(key))
