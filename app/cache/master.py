"""Connections for who writes: each ends where its server turns out to be a replica, and the next one looks anew.

After a fail-over behind a name, the old server often lives on as a replica: redis-py keeps its connections to it, and
every write fails for good (redis-py #1764). A server that becomes one also wakes those who wait for something on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import Connection, SSLConnection
from redis.exceptions import ConnectionError, ReadOnlyError, ResponseError

if TYPE_CHECKING:
    _Base = Connection
else:
    _Base = object


class _OfMaster(_Base):
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


OF_MASTER = {Connection: MasterConnection, SSLConnection: MasterSslConnection}
"""What takes the place of each of redis-py's own."""
