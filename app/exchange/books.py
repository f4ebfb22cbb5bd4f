"""The bucket books of one connection, by stream. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from app.exchange.adapter import CandleClosed, CandleUpdated, FeedEvent, GapSuspected
from app.exchange.buckets import STEP_S, BucketBook
from app.exchange.clock import Observation
from app.exchange.coinbase.subscriptions import Subscriptions
from app.exchange.frames import BadFrame
from app.exchange.stream_time import StreamTime
from app.market.timeframes import BASE

_LATE_MS = 30_000
"""The last update of a bucket may come this long after its end, by the exchange's clock, if the exchange is busy."""


class StreamBooks:
    """One book per stream id. Its events name each product that the stream feeds (`BTC-USD` and `BTC-USDC`)."""

    def __init__(self, subscriptions: Subscriptions, time: StreamTime) -> None:
        self.tally: Counter[str] = Counter()
        self._subscriptions = subscriptions
        self._time = time
        self._books: dict[str, BucketBook] = {}
        self._left: set[str] = set()  # unsubscribed on this connection: rows of theirs may still come

    def add(self, streams: Iterable[str]) -> None:
        for stream in streams:
            self._books[stream] = BucketBook(stream, self.tally)
            self._left.discard(stream)

    def remove(self, streams: Iterable[str], *, is_open: bool) -> None:
        for stream in streams:
            del self._books[stream]
            if is_open:
                self._left.add(stream)

    def opened(self) -> None:
        """A new connection: only what it subscribes to may come."""
        self._left.clear()

    def get(self, stream: str) -> BucketBook | None:
        """The book of a stream of which a row came, started if it was not; None if it was unsubscribed.

        Raises `BadFrame` if it was never subscribed to.
        """
        book = self._books.get(stream)
        if book is None:
            if stream in self._left:
                return None
            raise BadFrame("product not subscribed", stream)
        if not book.live:
            self._start(book)
        return book

    def acknowledged(self, streams: Iterable[str]) -> None:
        """The exchange lists these streams among its subscriptions."""
        for stream in streams:
            book = self._books.get(stream)
            if book is not None and not book.live:
                self._start(book)

    def _start(self, book: BucketBook) -> None:
        self._subscriptions.accept(book.product)
        if (open_s := self._time.open_s) is not None:
            book.stream_started(open_s)

    def stream_lost(self, reason: str) -> list[FeedEvent]:
        """The connection ended."""
        events = self._last_gaps(reason)
        for book in self._books.values():
            book.stream_lost(reason)
        return events

    def frames_lost(self, reason: str) -> list[FeedEvent]:
        """Frames of any stream may have been lost until now."""
        events = self._last_gaps(reason)
        for book in self._books.values():
            self.invalidate(book, reason)
        return events

    def invalidate(self, book: BucketBook, reason: str) -> None:
        """Updates of one product may have been lost until now."""
        if (open_s := self._time.open_s) is not None:
            book.invalidate(open_s, reason)

    def dead_since(self, exchange_ms: int, reason: str) -> list[FeedEvent]:
        """No accepted stream delivered anything since `exchange_ms`."""
        first_s = BASE.bucket(exchange_ms // 1000)
        books = [self._books[stream] for stream in self._subscriptions.accepted]
        events = [event for book in books for event in self.named(book, book.mark_gap(first_s, reason))]
        return events + self.frames_lost(reason)

    def clock_changed(self, change: Observation) -> list[FeedEvent]:
        """The time of a new connection, or a leap that a heartbeat confirmed."""
        events: list[FeedEvent] = []
        open_s = self._time.open_s
        assert open_s is not None
        for stream, book in self._books.items():
            events += self.named(book, book.restart(open_s, "the exchange's clock was set back"))
            if change is Observation.LEAPT:
                book.invalidate(open_s, "the exchange's clock leapt")
            elif change is Observation.KNOWN:
                # What was cut off is requested at once, without the grace: no update of ours will decide it.
                events += self.named(book, book.decide(open_s))
                if stream in self._subscriptions.accepted:
                    book.stream_started(open_s)
        return events

    def decide(self, end_s: int) -> list[FeedEvent]:
        """Decide all buckets that start before `end_s`."""
        refused = self._subscriptions.refused
        books = (book for stream, book in self._books.items() if stream not in refused)
        return [event for book in books for event in self.named(book, book.decide(end_s))]

    def _last_gaps(self, reason: str) -> list[FeedEvent]:
        """Just after the end of a bucket, its last updates may be among the lost frames."""
        exchange_ms = self._time.ms
        if exchange_ms is None or exchange_ms % (STEP_S * 1000) >= _LATE_MS:
            return []
        return [event for book in self._books.values() for event in self.named(book, book.mark_last_gap(reason))]

    def named(self, book: BucketBook, events: list[FeedEvent]) -> list[FeedEvent]:
        """`events` of `book`, once for each product that it feeds."""
        names = self._subscriptions.names[book.product]
        if names == (book.product,):
            return events
        return [_renamed(event, name) for event in events for name in names]


def _renamed(event: FeedEvent, product: str) -> FeedEvent:
    if isinstance(event, CandleUpdated | CandleClosed):
        return replace(event, candle=event.candle.model_copy(update={"product": product}))
    return replace(event, product=product) if isinstance(event, GapSuspected) else event
