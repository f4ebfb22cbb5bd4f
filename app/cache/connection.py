"""How this project connects to Redis."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from app.cache.address import Sentinels, is_sentinel, sentinels_of

UNAVAILABLE = (ConnectionError, TimeoutError, BusyLoadingError)
"""Redis cannot be reached now; the same call may work later."""


def connect(url: str, *, timeout_s: float = 5.0, tries: int = 1) -> Redis:
    """A client for `url` whose calls end within about `timeout_s` × (`tries` + 1): callers decide what to do then.

    Where `url` names Sentinels, each connection goes to whichever server is the master when it is made.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), tries),
    }
    return _master(sentinels_of(url), options) if is_sentinel(url) else Redis.from_url(url, **options)


def _master(sentinels: Sentinels, options: dict[str, Any]) -> Redis:
    asked: Any = Sentinel(  # type: ignore[no-untyped-call]
        sentinels.hosts, sentinel_kwargs={"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
    )
    _, service, database, user, password = sentinels
    client: Redis = asked.master_for(service, db=database, username=user, password=password, **options)
    return client


def hash_at(client: Redis, key: str) -> dict[bytes, bytes]:
    """The hash at `key`, empty where there is none."""
    return cast("dict[bytes, bytes]", client.hgetall(key))
