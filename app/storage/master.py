"""Connections that say plainly why a server does not take them.

For who writes: each ends where its server turns out to be a replica, and the next one looks anew.

After a fail-over behind a name, the old server often lives on as a replica: redis-py keeps its connections to it, and
every write fails for good (redis-py #1764). A server that becomes one also wakes those who wait for something on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError, ReadOnlyError, RedisError, ResponseError
from redis.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

if TYPE_CHECKING:
    _Base = Connection
else:
    _Base = object


class Full(ConnectionError):
    """The server takes no more connections now."""


class NoDatabase(ResponseError):
    """The server does not have the database of the URL."""


EXPLAINED = (Full, NoDatabase)
"""Errors whose text says what is wrong with the server or the settings, and what to do."""

_FULL = (
    "Redis takes no more connections (its maxclients is reached): end other programs that use it, raise maxclients, or "
    "lower REDIS_CONNECTIONS; docs/operations.md says how many each process takes"
)


class _Plain(_Base):
    def read_response(self, *args: Any, **options: Any) -> Any:
        """The next answer. Raises one of `EXPLAINED` for what the server says of connections."""
        try:
            return super().read_response(*args, **options)
        except RedisError as error:
            if "max number of clients reached" in str(error):
                raise Full(_FULL) from None
            if "DB index is out of range" in str(error):
                raise NoDatabase(
                    f"REDIS_URL names database {self.db}, and that server has fewer: use a lower number (0 is always "
                    "there), or raise `databases` in its configuration"
                ) from None
            raise


class _OfMaster(_Plain):
    def read_response(self, *args: Any, **options: Any) -> Any:
        """The next answer. Raises `ConnectionError`, as for a lost connection, where the server is a replica."""
        try:
            return super().read_response(*args, **options)
        except ResponseError as error:
            if isinstance(error, ReadOnlyError) or str(error).startswith("UNBLOCKED"):
                self.disconnect()  # type: ignore[no-untyped-call]
                raise ConnectionError("the server has become a replica: looking for the new master") from None
            raise


class MasterConnection(_OfMaster, Connection):
    """Over TCP."""


class MasterSslConnection(_OfMaster, SSLConnection):
    """Over TLS."""


class SocketConnection(_Plain, UnixDomainSocketConnection):
    """Over a socket file."""


class SentinelConnection(_Plain, SentinelManagedConnection):
    """To whichever server the Sentinels name."""


class SentinelSslConnection(_Plain, SentinelManagedSSLConnection):
    """The same over TLS."""


OF_MASTER = {
    Connection: MasterConnection,
    SSLConnection: MasterSslConnection,
    UnixDomainSocketConnection: SocketConnection,
}
"""What takes the place of each of redis-py's own."""
