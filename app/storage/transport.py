"""Celery's way to Redis: few connections, and each leaves a server which has become a replica (celery #7946).

Each of kombu's channels would keep a pool of its own, and open a connection for nothing but its first PING. Here it
has one only while it waits for tasks, replies or events; all else is sent on those of the process.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from celery import Celery
from kombu.transport import redis
from redis import ConnectionPool, Redis

from app.storage.master import MasterConnection, MasterSslConnection

if TYPE_CHECKING:
    _Base = redis.Channel
else:
    _Base = object

_clients: WeakValueDictionary[str, Redis] = WeakValueDictionary()
"""By name: Celery shows its options to others, so they hold plain values only."""
_names = count()


def share(app: Celery, client: Redis) -> None:
    """Have `app` send its commands on the connections of `client`, for as long as that is there."""
    name = str(next(_names))
    _clients[name] = client
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "commands": name}


class _Frugal(_Base):
    commands = ""
    from_transport_options: tuple[str, ...] = (*redis.Channel.from_transport_options, "commands")  # type: ignore[assignment]

    _has_begun = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        del self.client  # that of the first PING: the next one waits on a connection of its own
        self._has_begun = True

    def _create_client(self, asynchronous: bool = False) -> Any:
        return super()._create_client(asynchronous and self._has_begun)  # type: ignore[no-untyped-call]

    @property
    def pool(self) -> ConnectionPool:
        client = _clients.get(self.commands)
        return super().pool if client is None else client.connection_pool


class Channel(_Frugal, redis.Channel):
    connection_class = MasterConnection
    connection_class_ssl = MasterSslConnection


class Transport(redis.Transport):
    Channel = Channel


class SentinelChannel(_Frugal, redis.SentinelChannel):
    from_transport_options = (*redis.SentinelChannel.from_transport_options, "commands")  # type: ignore[assignment]


class SentinelTransport(redis.SentinelTransport):
    Channel = SentinelChannel
