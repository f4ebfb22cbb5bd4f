"""Listens to the stream with the feed of the ingest, and to trades on one more connection."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import TypeAlias

import orjson

from app.doctor.coinbase.evidence import Frame, Response
from app.doctor.target import Target
from app.exchange.adapter import Disconnected, FeedEvent
from app.exchange.coinbase.models import EXCHANGE
from app.exchange.coinbase.session import CoinbaseSession
from app.exchange.coinbase.venue import CONNECTIONS, MESSAGES, VENUE
from app.exchange.connection import StreamConnection
from app.exchange.stream_socket import Dialler

TRADED_PRODUCTS = 3
"""Products whose trades are read."""

Evidence: TypeAlias = Frame | FeedEvent | Response


class Inbox:
    """Everything that comes, in order, from all threads; and the exchange's time, by the newest frame."""

    def __init__(self, wall_ms: Callable[[], int]) -> None:
        self.exchange_ms = 0
        self.first_exchange_ms = 0
        self._wall_ms = wall_ms
        self._queue: SimpleQueue[Evidence] = SimpleQueue()
        self._lock = threading.Lock()
        self._is_closed = False

    def put(self, evidence: Evidence) -> None:
        if not self._is_closed:
            self._queue.put(evidence)

    def close(self) -> None:
        """Take in nothing more."""
        self._is_closed = True

    def frame(self, connection: str, data: bytes) -> None:
        """A raw message came."""
        frame = Frame.read(connection, data, time.monotonic_ns() // 1_000_000, self._wall_ms())
        if frame.envelope is not None:
            with self._lock:
                self.exchange_ms = max(self.exchange_ms, frame.envelope.time_ms)
                self.first_exchange_ms = self.first_exchange_ms or frame.envelope.time_ms
        self.put(frame)

    def next(self, timeout_s: float) -> Evidence | None:
        """The next one; None if none came in time."""
        try:
            return self._queue.get(timeout=timeout_s)
        except Empty:
            return None


class _TradesSession(CoinbaseSession):
    """A session that requests trades instead of candles. Its frames have the same envelope."""

    def __init__(self, products: list[str]) -> None:
        super().__init__(f"{EXCHANGE}-trades")
        self._subscribe = {"type": "subscribe", "product_ids": products, "channel": "market_trades"}
        self._is_sent = False

    def opened(self, local_ms: int) -> list[FeedEvent]:
        self._is_sent = False
        return super().opened(local_ms)

    def requests(self) -> list[str]:
        first = [] if self._is_sent else [orjson.dumps(self._subscribe).decode()]
        self._is_sent = True
        return first + super().requests()


class Listener:
    """Connections for `products`. `sources`: the product that feeds each alias."""

    def __init__(self, target: Target, products: Iterable[str], sources: Mapping[str, str], inbox: Inbox) -> None:
        products = list(products)
        self._inbox = inbox
        self._feed = VENUE.feed(
            target.ws_url,
            inbox.put,
            products_per_connection=target.products_per_connection,
            close_grace_s=target.close_grace_s,
        )
        self._feed.on_frame = inbox.frame
        self._feed.subscribe(products, sources)
        traded = list(dict.fromkeys(sources.get(product, product) for product in products))[:TRADED_PRODUCTS]
        dialler = Dialler(target.ws_url, target.timeout_s, CONNECTIONS, MESSAGES)
        self._trades = StreamConnection(_TradesSession(traded), dialler, inbox.put, inbox.frame)

    def start(self) -> None:
        self._feed.connect()
        self._trades.start()

    def problems(self) -> list[Disconnected]:
        """The connections that have not opened yet although they tried, and why."""
        health = [*self._feed.health(), self._trades.health()]
        return [
            Disconnected(h.session.connection, f"could not be opened: {h.last_error}")
            for h in health
            if h.attempts_failed and not h.session.attempt
        ]

    def end(self) -> None:
        """Close all connections. What comes from now on is not evidence: we caused it."""
        self._inbox.close()
        self._trades.stop()
        self._feed.disconnect()
        self._trades.join()
