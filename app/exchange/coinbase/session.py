"""One connection slot of the exchange's stream, across all its reconnects, as a state machine: frames in, events out.

No socket, no thread, no clock. `local_ms` is when something arrived, in milliseconds of any clock that only goes
forward; it measures silence, nothing else. All other times are the exchange's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.exchange.adapter import Connected, Disconnected, FeedEvent, FrameRejected, ProductAccepted, ProductRefused
from app.exchange.books import StreamBooks
from app.exchange.clock import Observation
from app.exchange.coinbase.frame_reader import FrameReader
from app.exchange.coinbase.models import Envelope, VenueError, decode
from app.exchange.coinbase.sequence import Order, Sequence
from app.exchange.coinbase.subscriptions import Subscriptions
from app.exchange.frames import BadFrame
from app.exchange.session import SessionSnapshot
from app.exchange.silence import Silence
from app.exchange.stream_time import StreamTime

_FIRST_FRAME_MS = 5_000
_HEARTBEAT_MS = 5_000
_CHANNELS = ("candles", "heartbeats", "subscriptions")


class CoinbaseSession:
    """Takes what the connection delivers; its owner sends `requests` and reconnects if `must_reconnect` is set.

    `aliases`: product to the id under which the exchange streams it (`BTC-USDC` to `BTC-USD`).
    """

    def __init__(
        self,
        connection: str,
        products: Iterable[str] = (),
        *,
        aliases: Mapping[str, str] | None = None,
        close_grace_ms: int = 2_000,
        products_per_message: int = 100,
    ) -> None:
        self.connection = connection
        self.is_open = False
        self.must_reconnect: str | None = None
        self._subscriptions = Subscriptions(aliases or {}, products_per_message)
        self._time = StreamTime(close_grace_ms)
        self._books = StreamBooks(self._subscriptions, self._time)
        self._sequence = Sequence()
        self._silence = Silence()
        self._reader = FrameReader(connection, self._books, self._subscriptions, self._silence, self._time)
        self._attempt = 0
        self._frames = 0
        self._opened_local_ms = 0
        self._received_local_ms: dict[str, int] = {}  # by channel
        self.subscribe(products)

    def subscribe(self, products: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        """Want `products` as well; send `requests` afterwards."""
        self._books.add(self._subscriptions.add(products, aliases))

    def unsubscribe(self, products: Iterable[str]) -> None:
        """Want `products` no more; send `requests` afterwards."""
        self._books.remove(self._subscriptions.remove(products), is_open=self.is_open)

    @property
    def products(self) -> list[str]:
        """The wanted products."""
        return self._subscriptions.products

    @property
    def streams(self) -> list[str]:
        """The ids under which the exchange streams them."""
        return list(self._subscriptions.names)

    @property
    def expects_closes(self) -> bool:
        """Whether the next frame may close buckets, so that it should not wait."""
        return self._time.expects_closes

    def requests(self) -> list[str]:
        """The messages to send now, each returned once."""
        return self._subscriptions.requests()

    def opened(self, local_ms: int) -> list[FeedEvent]:
        """The connection is open."""
        self.is_open = True
        self.must_reconnect = None
        self._attempt += 1
        self._opened_local_ms = local_ms
        self._received_local_ms.clear()
        self._books.opened()
        self._sequence.restart()
        self._subscriptions.opened()
        return [Connected(self.connection, self._attempt)]

    def closed(self, local_ms: int, reason: str) -> list[FeedEvent]:  # noqa: ARG002
        """The connection ended, on whichever side."""
        if not self.is_open:
            return []
        self.is_open = False
        self.must_reconnect = None
        reason = reason[:200]
        events: list[FeedEvent] = [Disconnected(self.connection, reason)]
        events += self._books.stream_lost(f"disconnected: {reason}")
        self._time.disconnected()
        self._silence.forget()
        self._subscriptions.closed()
        return events

    def frame(self, data: str | bytes, local_ms: int) -> list[FeedEvent]:
        """One text frame arrived. Never raises, whatever it holds."""
        if not self.is_open:
            return []
        self._frames += 1
        try:
            message = decode(data)
        except BadFrame as bad:
            # A lost update shows as a gap in the numbers, unless those have been wrong on this connection.
            lost = [] if self._sequence.is_dense else self._books.frames_lost("a frame was not understood")
            return [*lost, self._reader.reject(bad)]
        if isinstance(message, VenueError):
            return [self._failed(message, local_ms)]
        order = self._sequence.accept(message.sequence_num, data)
        if order is Order.DUPLICATE:
            return []
        if order is Order.MISNUMBERED:
            return self._books.frames_lost("frames were lost (misnumbered)")
        self._received_local_ms[message.channel if message.channel in _CHANNELS else "other"] = local_ms
        events = self._observe(message, local_ms)
        if order is Order.AFTER_GAP:
            events += self._books.frames_lost("frames were lost (sequence gap)")
        try:
            self._reader.read(message, local_ms, events)
        except BadFrame as bad:
            # The frame had its place in the sequence, so its content is lost.
            events += self._books.frames_lost("a frame was not understood")
            events.append(self._reader.reject(bad))
        if (end_s := self._time.due_end_s()) is not None:
            events += self._books.decide(end_s)
        return events

    def tick(self, local_ms: int) -> list[FeedEvent]:
        """Time passed: finds refused products and dead channels. Call it about ten times per second."""
        if not self.is_open:
            return []
        events: list[FeedEvent] = []
        for stream in self._subscriptions.newly_refused(local_ms):
            reason = "the exchange was asked for it and does not list it among its subscriptions"
            events += [ProductRefused(name, reason) for name in self._subscriptions.names[stream]]
        for stream in self._subscriptions.no_longer_refused():
            events += [ProductAccepted(name) for name in self._subscriptions.names[stream]]
        if self.must_reconnect is None:
            self.must_reconnect = self._silent_socket(local_ms) or self._dead_channel(local_ms, events)
        return events

    def snapshot(self, local_ms: int) -> SessionSnapshot:
        """The counters, now."""
        return SessionSnapshot(
            connection=self.connection,
            is_open=self.is_open,
            open_ms=local_ms - self._opened_local_ms if self.is_open else None,
            attempt=self._attempt,
            exchange_ms=self._time.ms,
            products=len(self._subscriptions.products),
            accepted=len(self._subscriptions.accepted),
            refused=tuple(sorted(self._subscriptions.refused)),
            frames=self._frames,
            rejected=dict(self._reader.rejected),
            sequence_gaps=self._sequence.gaps,
            duplicates=self._sequence.duplicates,
            stale_updates=self._books.tally["stale"],
            late_updates=self._books.tally["late"],
            silent_ms={channel: local_ms - received for channel, received in self._received_local_ms.items()},
        )

    def _observe(self, message: Envelope, local_ms: int) -> list[FeedEvent]:
        """Take in the frame's time, and what follows from it before the frame itself is read."""
        change = self._time.observe(message.time_ms, heartbeat=message.channel == "heartbeats")
        events: list[FeedEvent] = []
        if change is Observation.NONE:
            return events
        tick = self._time.tick()
        if tick is not None:
            events.append(tick)
        if change is not Observation.ADVANCED:
            assert self._time.ms is not None
            self._silence.begin(self._time.ms, local_ms)
            events += self._books.clock_changed(change)
        return events

    def _failed(self, error: VenueError, local_ms: int) -> FeedEvent:
        """The exchange refuses a request, without saying which."""
        self._subscriptions.failed(local_ms)
        self._reader.rejected["error frame"] += 1
        return FrameRejected(self.connection, f"the exchange says: {error.message[:160]}")

    def _silent_socket(self, local_ms: int) -> str | None:
        if not self._received_local_ms and local_ms - self._opened_local_ms >= _FIRST_FRAME_MS:
            return f"no frame within {_FIRST_FRAME_MS // 1000} s of opening"
        if local_ms - self._received_local_ms.get("heartbeats", self._opened_local_ms) >= _HEARTBEAT_MS:
            return f"no heartbeat for {_HEARTBEAT_MS // 1000} s"
        return None

    def _dead_channel(self, local_ms: int, events: list[FeedEvent]) -> str | None:
        """Heartbeats come, candles do not: what was decided since they stopped may be wrong."""
        exchange_ms, since_exchange_ms = self._time.ms, self._silence.since_exchange_ms
        if exchange_ms is None or since_exchange_ms is None or not self._subscriptions.accepted:
            return None
        if not self._silence.is_dead(exchange_ms, local_ms):
            return None
        self._silence.reconnecting()
        reason = f"no candle for {(exchange_ms - since_exchange_ms) // 1000} s of exchange time while heartbeats came"
        events += self._books.dead_since(since_exchange_ms, reason)
        return reason
