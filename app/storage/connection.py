"""Connections to Redis."""

from __future__ import annotations

import re
import sys
from typing import Any, cast

from redis import BlockingConnectionPool, Redis
from redis.backoff import ExponentialBackoff
from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from app.storage.address import Address, sentinel_options, tls_options
from app.storage.master import OF_MASTER, SentinelConnection, SentinelSslConnection
from app.storage.name import name_of

UNAVAILABLE = (ConnectionError, TimeoutError, BusyLoadingError)
"""Redis is unreachable now; the same call may succeed later."""


CONNECTIONS = 4
"""Default maximum of connections per client."""


class _Sentinels(Sentinel):
    def discover_master(self, service_name: str) -> Any:
        """Address of the master. Raises `MasterNotFoundError` without redis-py's dump of its objects."""
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        except MasterNotFoundError as error:
            kinds = sorted(set(re.findall(r" - (?:\w+:)?(\w+)", str(error))))
            where = ", ".join("{host}:{port}".format(**s.connection_pool.connection_kwargs) for s in self.sentinels)
            why = f" ({', '.join(kinds)})" if kinds else ""
            raise MasterNotFoundError(f"no Sentinel at {where} names a master of {service_name!r}{why}") from None


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Waits for a free connection, as `BlockingConnectionPool` does."""


def connect(url: str, *, timeout_s: float = 5.0, tries: int = 1, connections: int = CONNECTIONS) -> Redis:
    """A client for `url` whose calls end within about `timeout_s` × (`tries` + 1). Callers handle the error.

    It opens as many connections as are used at once, at most `connections`; further calls wait for one. If `url` names
    Sentinels, each new connection goes to the current master. Otherwise it goes to the server that currently has the
    name, and closes if that server becomes a replica.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "health_check_interval": 25,
        "client_name": name_of(sys.argv),
        "max_connections": connections,
        "timeout": 2 * timeout_s,
        "retry": Retry(ExponentialBackoff(cap=0.5, base=0.05), tries),
    }
    address = Address.parse(url)
    if address.socket:
        del options["socket_connect_timeout"]  # a socket file connects at once
    else:
        options["socket_keepalive"] = True
    if address.is_sentinel:
        return _master(address, options)
    pool = BlockingConnectionPool.from_url(address.url, **options)
    pool.connection_class = OF_MASTER[pool.connection_class]
    return Redis.from_pool(pool)


def _master(address: Address, options: dict[str, Any]) -> Redis:
    times = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
    asked: Any = _Sentinels(address.hosts, sentinel_kwargs={**times, **sentinel_options(address)})  # type: ignore[no-untyped-call]
    tls = tls_options(address) if address.is_tls else {}
    login = {"username": address.user, "password": address.password}
    options["connection_pool_class"] = _SentinelPool
    options["connection_class"] = SentinelSslConnection if tls else SentinelConnection
    client: Redis = asked.master_for(address.service, db=address.database, **login, **tls, **options)
    return client


def hash_at(client: Redis, key: str) -> dict[bytes, bytes]:
    """The hash at `key`; empty if there is none."""
    return cast("dict[bytes, bytes]", client.hgetall(key))
