"""The live feed of an exchange: products spread over connections, each with its own thread."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping

from app.exchange.adapter import ExchangeAdapter, FeedEvent
from app.exchange.connection import ConnectionHealth, OnFrame, StreamConnection
from app.exchange.pacing import Limiter
from app.exchange.session import StreamSession
from app.exchange.stream_socket import Dialler


class Feed(ExchangeAdapter):
    """Products are spread evenly over connections; each connection calls `on_event` on its own thread.

    So `on_event` must be safe to call from several threads, and should be quick. What it raises is logged.
    """

    def __init__(
        self,
        name: str,
        url: str,
        on_event: Callable[[FeedEvent], None],
        new_session: Callable[[str, Mapping[str, str]], StreamSession],
        *,
        products_per_connection: int,
        connections_limiter: Limiter,
        messages_limiter: Limiter,
        connect_timeout_seconds: float = 10.0,
    ) -> None:
        """`new_session`: makes the session of a connection from its name and the aliases: product to the id under
        which the exchange streams it.
        """
        super().__init__(on_event)
        self.name = name
        self.on_frame: OnFrame | None = None
        """Set before `connect`. Called on the connections' threads, like `on_event`."""
        self._new_session = new_session
        self._per_connection = products_per_connection
        self._aliases: dict[str, str] = {}
        self._dialler = Dialler(url, connect_timeout_seconds, connections_limiter, messages_limiter)
        self._lock = threading.RLock()
        self._started = False
        self._products: dict[str, None] = {}
        self._connections: list[StreamConnection] = []
        self._made = 0

    def connect(self) -> None:
        with self._lock:
            if not self._started:
                self._started = True
                self._place(list(self._products))

    def disconnect(self) -> None:
        with self._lock:
            self._started = False
            connections, self._connections = self._connections, []
        _stop(connections)

    def subscribe(self, products: Iterable[str], sources: Mapping[str, str] | None = None) -> None:
        with self._lock:
            self._aliases.update({p: s for p, s in (sources or {}).items() if p not in self._products})
            new = [p for p in dict.fromkeys(products) if p not in self._products]
            self._products.update(dict.fromkeys(new))
            if self._started:
                self._place(new)

    def unsubscribe(self, products: Iterable[str]) -> None:
        with self._lock:
            gone = [p for p in dict.fromkeys(products) if p in self._products]
            for product in gone:
                del self._products[product]
            for connection in self._connections:
                connection.unsubscribe(gone)
            empty = [c for c in self._connections if not c.products]
            self._connections = [c for c in self._connections if c.products]
        _stop(empty)

    @property
    def is_connected(self) -> bool:
        with self._lock:
            return self._started and all(c.is_open for c in self._connections)

    def health(self) -> list[ConnectionHealth]:
        """The state of each connection."""
        with self._lock:
            connections = list(self._connections)
        return [c.health() for c in connections]

    def _place(self, products: list[str]) -> None:
        """Assign each of `products` to the connection with the fewest, and start as many connections as needed.

        Names of one stream stay together: what feeds `BTC-USD` feeds `BTC-USDC`.
        """
        by_stream: dict[str, list[str]] = {}
        for product in products:
            by_stream.setdefault(self._aliases.get(product, product), []).append(product)
        given: dict[StreamConnection, list[str]] = {}
        homes = {s: c for c in self._connections for s in c.streams}
        room = {c: self._per_connection - len(c.streams) for c in self._connections}
        missing = math.ceil((len(homes) + len(by_stream.keys() - homes.keys())) / self._per_connection) - len(room)
        fresh = [self._new_connection() for _ in range(max(0, missing))]
        room.update(dict.fromkeys(fresh, self._per_connection))
        for stream, names in by_stream.items():
            home = homes.get(stream) or max(room, key=lambda c: room[c])
            if stream not in homes:
                room[home] -= 1
            given.setdefault(home, []).extend(names)
        for connection, names in given.items():
            connection.subscribe(names, self._aliases)
        self._connections += fresh
        for connection in fresh:
            connection.start()

    def _new_connection(self) -> StreamConnection:
        self._made += 1
        session = self._new_session(f"{self.name}-{self._made}", self._aliases)
        return StreamConnection(session, self._dialler, self._on_event, self.on_frame)


def _stop(connections: list[StreamConnection]) -> None:
    for connection in connections:
        connection.stop()
    for connection in connections:
        connection.join()
