"""One connection slot of the exchange's stream, across all its reconnects, as a state machine: frames in, events out.

No socket, no thread, no clock. `now_ms` is when something arrived, in milliseconds of any clock that only goes
forward; it is used to judge silence, nothing else. All other time is the exchange's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from app.exchange.adapter import (
    CandleClosed,
    CandleUpdated,
    ClockTick,
    Connected,
    Disconnected,
    FeedEvent,
    FrameRejected,
    GapSuspected,
    ProductRefused,
)
from app.exchange.coinbase.buckets import STEP_S, BucketBook
from app.exchange.coinbase.clock import Observation, StreamClock
from app.exchange.coinbase.models import Acknowledgement, BadFrame, Envelope, VenueError, decode, read_candle
from app.exchange.coinbase.sequence import Order, Sequence
from app.exchange.coinbase.silence import Silence
from app.exchange.coinbase.subscriptions import Subscriptions
from app.market.candles import CandleState, UnifiedCandle
from app.market.timeframes import BASE

_TICK_MS = 250
_FIRST_FRAME_MS = 5_000
_HEARTBEAT_MS = 5_000
_AHEAD_MS = STEP_S * 1000
_SOON_MS = 2_000
"""A bucket's end is near, at least: two heartbeats away."""
_LATE_MS = 30_000
"""A bucket's last update may come so long after its end, by the exchange's clock, when the exchange is busy."""
_CHANNELS = ("candles", "heartbeats", "subscriptions")


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """What a health page shows of one connection. Times in milliseconds; `silent_ms` is real time, by channel.

    `open_ms`: for how long it has been open, in real time; None while it is not.
    """

    connection: str
    is_open: bool
    open_ms: int | None
    attempt: int
    exchange_ms: int | None
    products: int
    accepted: int
    refused: tuple[str, ...]
    frames: int
    rejected: Mapping[str, int]
    sequence_gaps: int
    duplicates: int
    stale_updates: int
    late_updates: int
    silent_ms: Mapping[str, int]
    silence_limit_ms: int


class CoinbaseSession:
    """Feed it what the connection delivers; send what `requests` returns; reconnect when `must_reconnect` says so.

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
        self._grace_ms = close_grace_ms
        self._subscriptions = Subscriptions(aliases or {}, products_per_message)
        self._books: dict[str, BucketBook] = {}
        self._left: set[str] = set()
        self._clock = StreamClock()
        self._sequence = Sequence()
        self._silence = Silence()
        self._attempt = 0
        self._frames = 0
        self._rejected: Counter[str] = Counter()
        self._tally: Counter[str] = Counter()
        self._opened_now_ms = 0
        self._heard_now_ms: dict[str, int] = {}
        self._told_ms = 0
        self._sweep_ms = 0
        self._beat_ms = 0
        self._stride_ms = 0
        self.subscribe(products)

    # What the connection's owner calls.

    def subscribe(self, products: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        """Want `products` as well; afterwards send `requests`."""
        for stream in self._subscriptions.add(products, aliases):
            self._books[stream] = BucketBook(stream, self._tally)
            self._left.discard(stream)

    def unsubscribe(self, products: Iterable[str]) -> None:
        """Want `products` no more; afterwards send `requests`."""
        for stream in self._subscriptions.remove(products):
            del self._books[stream]
            if self.is_open:
                self._left.add(stream)

    @property
    def products(self) -> list[str]:
        """What is wanted."""
        return self._subscriptions.products

    @property
    def streams(self) -> list[str]:
        """The ids under which the exchange streams it."""
        return list(self._subscriptions.names)

    @property
    def expects_closes(self) -> bool:
        """Whether the next frame may close buckets, so that it should not wait."""
        exchange_ms = self._clock.ms
        soon_ms = max(_SOON_MS, 2 * self._stride_ms)
        return exchange_ms is None or exchange_ms >= self._sweep_ms - self._grace_ms - soon_ms

    def requests(self) -> list[str]:
        """The messages to send now, each returned once."""
        return self._subscriptions.requests()

    def opened(self, now_ms: int) -> list[FeedEvent]:
        """The connection is open."""
        self.is_open = True
        self.must_reconnect = None
        self._attempt += 1
        self._opened_now_ms = now_ms
        self._heard_now_ms.clear()
        self._left.clear()
        self._sequence.restart()
        self._subscriptions.opened()
        return [Connected(self.connection, self._attempt)]

    def closed(self, now_ms: int, reason: str) -> list[FeedEvent]:  # noqa: ARG002
        """The connection is gone, whoever ended it."""
        if not self.is_open:
            return []
        self.is_open = False
        self.must_reconnect = None
        reason = reason[:200]
        events: list[FeedEvent] = [Disconnected(self.connection, reason)]
        self._reopen_late(f"disconnected: {reason}", events)
        for book in self._books.values():
            book.end(f"disconnected: {reason}")
        self._clock.disconnected()
        self._silence.forget()
        self._subscriptions.closed()
        return events

    def frame(self, data: str | bytes, now_ms: int) -> list[FeedEvent]:
        """One text frame arrived. Never raises, whatever it holds."""
        if not self.is_open:
            return []
        self._frames += 1
        try:
            message = decode(data)
        except BadFrame as bad:
            return [self._reject(bad)]
        if isinstance(message, VenueError):
            return [self._failed(message, now_ms)]
        order = self._sequence.accept(message.sequence_num)
        if order is Order.DUPLICATE:
            return []
        self._heard_now_ms[message.channel if message.channel in _CHANNELS else "other"] = now_ms
        events = self._observe(message, now_ms)
        if order is Order.AFTER_GAP:
            self._doubt_all("frames were lost (sequence gap)", events)
        self._read(message, now_ms, events)
        self._sweep(events)
        return events

    def tick(self, now_ms: int) -> list[FeedEvent]:
        """Time passed. Judges silence; call it about ten times a second."""
        if not self.is_open:
            return []
        events: list[FeedEvent] = []
        for stream in self._subscriptions.newly_refused(now_ms):
            reason = "the exchange was asked for it and does not list it among its subscriptions"
            events += [ProductRefused(name, reason) for name in self._subscriptions.names[stream]]
        if self.must_reconnect is None:
            self.must_reconnect = self._silent_socket(now_ms) or self._dead_channel(now_ms, events)
        return events

    def snapshot(self, now_ms: int) -> SessionSnapshot:
        """The counters, now."""
        return SessionSnapshot(
            connection=self.connection,
            is_open=self.is_open,
            open_ms=now_ms - self._opened_now_ms if self.is_open else None,
            attempt=self._attempt,
            exchange_ms=self._clock.ms,
            products=len(self._subscriptions.products),
            accepted=len(self._subscriptions.accepted),
            refused=tuple(sorted(self._subscriptions.refused)),
            frames=self._frames,
            rejected=dict(self._rejected),
            sequence_gaps=self._sequence.gaps,
            duplicates=self._sequence.duplicates,
            stale_updates=self._tally["stale"],
            late_updates=self._tally["late"],
            silent_ms={channel: now_ms - heard for channel, heard in self._heard_now_ms.items()},
            silence_limit_ms=int(self._silence.limit_ms),
        )

    # Time.

    def _observe(self, message: Envelope, now_ms: int) -> list[FeedEvent]:
        """Take in the frame's time, and what follows from it before the frame itself is read."""
        is_beat = message.channel == "heartbeats"
        change = self._clock.observe(message.time_ms, heartbeat=is_beat)
        if is_beat:
            # How far the exchange's clock goes between two: a second, or a minute at 60 times the pace.
            self._stride_ms = max(abs(message.time_ms - self._beat_ms) if self._beat_ms else 0, self._stride_ms // 2)
            self._beat_ms = message.time_ms
        if change is Observation.NONE:
            return []
        assert self._clock.ms is not None
        events: list[FeedEvent] = []
        if change is not Observation.ADVANCED:
            self._jumped(change, self._clock.ms, now_ms, events)
        if abs(self._clock.ms - self._told_ms) >= _TICK_MS:
            self._told_ms = self._clock.ms
            events.insert(0, ClockTick(self._told_ms))
        return events

    def _jumped(self, change: Observation, exchange_ms: int, now_ms: int, events: list[FeedEvent]) -> None:
        """The clock did not merely go on: a new connection, or a leap that a heartbeat confirmed."""
        open_s = BASE.bucket(exchange_ms // 1000)
        self._silence.begin(exchange_ms, now_ms)
        self._sweep_ms = 0
        for stream, book in self._books.items():
            self._add(events, book, book.restart(open_s, "the exchange's clock was set back"))
            if change is Observation.LEAPT:
                book.doubt(open_s, "the exchange's clock leapt")
            elif change is Observation.KNOWN:
                # What was cut off is asked for at once, without the grace: no update of ours will decide it.
                self._add(events, book, book.decide(open_s))
                if stream in self._subscriptions.accepted:
                    book.begin(open_s)

    def _sweep(self, events: list[FeedEvent]) -> None:
        """Decide the buckets whose end, and the grace after it, have passed."""
        exchange_ms = self._clock.ms
        if exchange_ms is None or exchange_ms < self._sweep_ms:
            return
        end_s = BASE.bucket((exchange_ms - self._grace_ms) // 1000)
        self._sweep_ms = (end_s + STEP_S) * 1000 + self._grace_ms
        for stream, book in self._books.items():
            if stream not in self._subscriptions.refused:
                self._add(events, book, book.decide(end_s))

    @property
    def _open_s(self) -> int | None:
        return None if self._clock.ms is None else BASE.bucket(self._clock.ms // 1000)

    # What a frame holds.

    def _read(self, message: Envelope, now_ms: int, events: list[FeedEvent]) -> None:
        try:
            if message.channel == "candles":
                for event in message.events:
                    self._candles(event, message.time_ms, now_ms, events)
            elif message.channel == "subscriptions":
                self._acknowledge(message, now_ms)
        except BadFrame as bad:
            # The frame had its place in the sequence, so whatever it should have said is lost.
            self._doubt_all("a frame was not understood", events)
            events.append(self._reject(bad))

    def _candles(self, event: Any, time_ms: int, now_ms: int, events: list[FeedEvent]) -> None:
        rows = event.get("candles") if isinstance(event, dict) else None
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(rows, list) or kind not in ("snapshot", "update"):
            raise BadFrame("bad candles event")
        exchange_ms = self._clock.ms
        if exchange_ms is None:
            return  # a new connection whose time is not known yet: the next update says all of it again
        if kind == "snapshot":
            self._silence.begin(exchange_ms, now_ms)
            self._snapshot(rows, time_ms, events)
            return
        self._silence.ended(exchange_ms, now_ms)
        for row in rows:
            self._update(row, time_ms, events)

    def _update(self, row: Any, time_ms: int, events: list[FeedEvent]) -> None:
        """One candle of an update. If it cannot be used, its product's bucket is in doubt until the next one."""
        try:
            book = self._book(row)
        except BadFrame as bad:
            self._doubt_all("an update was not understood", events)
            events.append(self._reject(bad))
            return
        if book is None:
            return
        try:
            self._add(events, book, book.update(self._candle(book, row, time_ms)))
        except BadFrame as bad:
            self._doubt(book, "an update was not understood")
            events.append(self._reject(bad))

    def _snapshot(self, rows: list[Any], time_ms: int, events: list[FeedEvent]) -> None:
        """A set of candles with holes. Only those of the open bucket are used, and only to be shown."""
        open_start = str(self._open_s)
        seen: set[str] = set()
        for row in rows:
            try:
                product = _product(row)
                if product in seen and row.get("start") != open_start:
                    continue
                seen.add(product)
                book = self._book(row)
                if book is not None and row.get("start") == open_start:
                    self._add(events, book, book.preview(self._candle(book, row, time_ms)))
            except BadFrame as bad:
                events.append(self._reject(bad))

    def _book(self, row: Any) -> BucketBook | None:
        """The book of the product that `row` is about, whose stream is whole from now on; None where it is not ours."""
        product = _product(row)
        book = self._books.get(product)
        if book is None:
            if product in self._left:
                return None
            raise BadFrame("product not subscribed", product)
        if not book.live:
            self._began(product)
        return book

    def _candle(self, book: BucketBook, row: dict[str, Any], time_ms: int) -> UnifiedCandle:
        exchange_ms = self._clock.ms or 0
        # A frame's time that the clock did not believe must not win over all later observations.
        candle = read_candle(row, book.product, BASE, CandleState.FORMING, min(time_ms, exchange_ms))
        if candle.start_s * 1000 > exchange_ms + _AHEAD_MS:
            raise BadFrame("bad candle", "start is in the future")
        return candle

    def _began(self, stream: str) -> None:
        self._subscriptions.accept(stream)
        if self._open_s is not None:
            self._books[stream].begin(self._open_s)

    def _acknowledge(self, message: Envelope, now_ms: int) -> None:
        try:
            listed = [Acknowledgement.model_validate(event) for event in message.events]
        except ValidationError:
            raise BadFrame("bad acknowledgement") from None
        candles = [stream for one in listed for stream in one.subscriptions.get("candles", ())]
        self._subscriptions.answered(candles, now_ms)
        for stream in candles:
            if stream in self._books and not self._books[stream].live:
                self._began(stream)

    def _failed(self, error: VenueError, now_ms: int) -> FeedEvent:
        """The exchange refuses a request, without saying which."""
        self._subscriptions.failed(now_ms)
        self._rejected["error frame"] += 1
        return FrameRejected(self.connection, f"the exchange says: {error.message[:160]}")

    # Breaks.

    def _silent_socket(self, now_ms: int) -> str | None:
        if not self._heard_now_ms and now_ms - self._opened_now_ms >= _FIRST_FRAME_MS:
            return f"no frame within {_FIRST_FRAME_MS // 1000} s of opening"
        if now_ms - self._heard_now_ms.get("heartbeats", self._opened_now_ms) >= _HEARTBEAT_MS:
            return f"no heartbeat for {_HEARTBEAT_MS // 1000} s"
        return None

    def _dead_channel(self, now_ms: int, events: list[FeedEvent]) -> str | None:
        """Heartbeats come, candles do not: what was decided since they stopped was decided blindly."""
        exchange_ms, since_ms = self._clock.ms, self._silence.since_ms
        if exchange_ms is None or since_ms is None or not self._subscriptions.accepted:
            return None
        if not self._silence.is_dead(exchange_ms, now_ms):
            return None
        self._silence.reconnecting()
        reason = f"no candle for {(exchange_ms - since_ms) // 1000} s of exchange time while heartbeats came"
        for stream in self._subscriptions.accepted:
            book = self._books[stream]
            self._add(events, book, book.reopen(BASE.bucket(since_ms // 1000), reason))
        self._doubt_all(reason, events)
        return reason

    def _doubt_all(self, reason: str, events: list[FeedEvent]) -> None:
        self._reopen_late(reason, events)
        for book in self._books.values():
            self._doubt(book, reason)

    def _reopen_late(self, reason: str, events: list[FeedEvent]) -> None:
        """A moment after the end of a bucket, the last updates of a busy exchange may be among what is lost."""
        exchange_ms = self._clock.ms
        if exchange_ms is not None and exchange_ms % (STEP_S * 1000) < _LATE_MS:
            for book in self._books.values():
                self._add(events, book, book.reopen_last(reason))

    def _doubt(self, book: BucketBook, reason: str) -> None:
        open_s = self._open_s
        if open_s is not None:
            book.doubt(open_s, reason)

    def _reject(self, bad: BadFrame) -> FeedEvent:
        self._rejected[bad.kind] += 1
        return FrameRejected(self.connection, str(bad))

    # Names.

    def _add(self, events: list[FeedEvent], book: BucketBook, new: list[FeedEvent]) -> None:
        """Add `new`, in the name of every wanted product that `book` feeds."""
        names = self._subscriptions.names[book.product]
        if names == (book.product,):
            events += new
        else:
            events += [_renamed(event, name) for event in new for name in names]


def _product(row: Any) -> str:
    product = row.get("product_id") if isinstance(row, dict) else None
    if not isinstance(product, str):
        raise BadFrame("bad candle", "product_id is not a text")
    return product


def _renamed(event: FeedEvent, product: str) -> FeedEvent:
    if isinstance(event, CandleUpdated | CandleClosed):
        return replace(event, candle=event.candle.model_copy(update={"product": product}))
    return replace(event, product=product) if isinstance(event, GapSuspected) else event
