"""Connections that explain why a server rejects them, and that close if the server is a replica.

After a fail-over behind a name, the old server often continues as a replica. redis-py keeps its connections to it, and
every write fails for good (redis-py #1764). So connections for writers close as soon as their server is a replica; the
next one resolves the name again. A server that becomes a replica also wakes its blocked clients.
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
    """The server accepts no more connections now."""


class NoDatabase(ResponseError):
    """The server does not have the database of the URL."""


EXPLAINED = (Full, NoDatabase)
"""Errors whose text explains the problem of the server or the settings, and what to do."""

_FULL = (
    "Redis accepts no more connections (maxclients is reached): stop other programs that use it, raise maxclients, or "
    "lower CANDLEWICK_REDIS_CONNECTIONS; docs/operations.md lists the connections of each process"
)


class _Plain(_Base):
    def read_response(self, *args: Any, **options: Any) -> Any:
        """The next response. Raises one of `EXPLAINED` if the server rejects the connection."""
        try:
            return super().read_response(*args, **options)
        except RedisError as error:
            if "max number of clients reached" in str(error):
                raise Full(_FULL) from None
            if "DB index is out of range" in str(error):
                raise NoDatabase(
                    f"REDIS_URL names database {self.db}, but the server has fewer: use a lower number (0 always "
                    "exists), or raise `databases` in its configuration"
                ) from None
            raise


class _OfMaster(_Plain):
    def read_response(self, *args: Any, **options: Any) -> Any:
        """The next response. Raises `ConnectionError`, as for a lost connection, if the server is a replica."""
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
    """To the server that the Sentinels name."""


class SentinelSslConnection(_Plain, SentinelManagedSSLConnection):
    """The same over TLS."""


OF_MASTER = {
    Connection: MasterConnection,
    SSLConnection: MasterSslConnection,
    UnixDomainSocketConnection: SocketConnection,
}
"""Replacement for each connection class of redis-py."""
