"""Celery's Redis transport: few connections, and each closes if its server becomes a replica (celery #7946).

Each kombu channel would keep a separate pool, and open a connection only for its first PING. Here a channel has a
connection only while it waits for tasks, replies or events. Everything else uses the connections of the process.
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
"""Clients by name. Celery exposes its options, so they contain plain values only."""
_names = count()


def share(app: Celery, client: Redis) -> None:
    """Make `app` send its commands on the connections of `client`, as long as `client` exists."""
    name = str(next(_names))
    _clients[name] = client
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "commands": name}


class _Frugal(_Base):
    commands = ""
    from_transport_options: tuple[str, ...] = (*redis.Channel.from_transport_options, "commands")  # type: ignore[assignment]

    _has_begun = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        del self.client  # used for the first PING; the next client waits on a separate connection
        self._has_begun = True

    def _create_client(self, asynchronous: bool = False) -> Any:
        return super()._create_client(asynchronous and self._has_begun)  # type: ignore[no-untyped-call]

    @property
    def pool(self) -> ConnectionPool:
        client = _clients.get(self.commands)
        return super().pool if client is None else client.connection_pool


class ServerChannel(_Frugal, redis.Channel):
    connection_class = MasterConnection
    connection_class_ssl = MasterSslConnection


class Transport(redis.Transport):
    Channel = ServerChannel


class SentinelChannel(_Frugal, redis.SentinelChannel):
    from_transport_options = (*redis.SentinelChannel.from_transport_options, "commands")  # type: ignore[assignment]


class SentinelTransport(redis.SentinelTransport):
    Channel = SentinelChannel
