"""How this project connects to Redis."""

from __future__ import annotations

from typing import Any, cast

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

from app.cache.address import Address, sentinel_options, tls_options
from app.cache.master import OF_MASTER

UNAVAILABLE = (ConnectionError, TimeoutError, BusyLoadingError)
"""Redis cannot be reached now; the same call may work later."""


def connect(url: str, *, timeout_s: float = 5.0, tries: int = 1) -> Redis:
    """A client for `url` whose calls end within about `timeout_s` × (`tries` + 1): callers decide what to do then.

    Where `url` names Sentinels, each connection goes to whichever server is the master when it is made; else to whoever
    has the name then, and it ends where that has become a replica.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 25,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), tries),
    }
    address = Address.parse(url)
    if address.socket:
        del options["socket_connect_timeout"]  # there is nothing to wait for
        return Redis.from_url(address.url, **options)
    options["socket_keepalive"] = True
    if address.is_sentinel:
        return _master(address, options)
    client = Redis.from_url(address.url, **options)
    pool = client.connection_pool
    pool.connection_class = OF_MASTER[pool.connection_class]
    return client


def _master(address: Address, options: dict[str, Any]) -> Redis:
    times = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
    asked: Any = Sentinel(address.hosts, sentinel_kwargs={**times, **sentinel_options(address)})  # type: ignore[no-untyped-call]
    tls = {"ssl": True, **tls_options(address)} if address.is_tls else {}
    login = {"username": address.user, "password": address.password}
    client: Redis = asked.master_for(address.service, db=address.database, **login, **tls, **options)
    return client


def hash_at(client: Redis, key: str) -> dict[bytes, bytes]:
    """The hash at `key`, empty where there is none."""
    return cast("dict[bytes, bytes]", client.hgetall(key))
