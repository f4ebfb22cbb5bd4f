"""Two Redis servers behind one name, of which the second can take over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from redis import Redis

from tests.redis_server import RedisServer
from tests.relay import Relay, relay
from tests.support import eventually, free_port


class Pair:
    """Two servers, the second a replica of the first, behind one name."""

    def __init__(self, first: RedisServer, second: RedisServer, name: Relay) -> None:
        self.first, self.second, self.name = first, second, name
        self.url = f"redis://127.0.0.1:{name.port}/0"
        with Redis.from_url(second.url) as client:
            client.replicaof("127.0.0.1", str(port_of(first)))
            eventually(self.is_linked)

    def is_linked(self) -> bool:
        """Whether the replica has the data of the master and receives changes."""
        with Redis.from_url(self.second.url) as client:
            return bool(client.info("replication").get("master_link_status") == "up")

    def swap(self) -> None:
        """Make the second the master, the first its replica, let the name lead to the second, and swap `first` and
        `second`.
        """
        with Redis.from_url(self.second.url) as new, Redis.from_url(self.first.url) as old:
            new.replicaof("NO", "ONE")
            old.replicaof("127.0.0.1", str(port_of(self.second)))
        self.name.target = port_of(self.second)
        self.first, self.second = self.second, self.first


def port_of(server: RedisServer) -> int:
    port = urlsplit(server.url).port
    assert port
    return port


@contextmanager
def pair(folder: Path, first: RedisServer) -> Iterator[Pair]:
    """A second server, whose data is in `folder`, beside the `first`."""
    with ExitStack() as stack:
        (folder / "replica").mkdir()
        second = stack.enter_context(RedisServer(folder / "replica", free_port()))
        yield Pair(first, second, stack.enter_context(relay(port_of(first))))
