"""What the frames of one connection hold, as events of its books. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import ValidationError

from app.exchange.adapter import FeedEvent, FrameRejected
from app.exchange.books import StreamBooks
from app.exchange.buckets import STEP_S, BucketBook
from app.exchange.coinbase.models import Acknowledgement, Envelope, read_candle
from app.exchange.coinbase.subscriptions import Subscriptions
from app.exchange.frames import BadFrame
from app.exchange.silence import Silence
from app.exchange.stream_time import StreamTime
from app.market.candles import CandleState, UnifiedCandle
from app.market.timeframes import BASE

_AHEAD_MS = STEP_S * 1000


class FrameReader:
    """Reads candles and acknowledgements. A row that cannot be read costs its product's bucket, and nothing else."""

    def __init__(
        self, connection: str, books: StreamBooks, subscriptions: Subscriptions, silence: Silence, time: StreamTime
    ) -> None:
        self.rejected: Counter[str] = Counter()
        self._connection = connection
        self._books = books
        self._subscriptions = subscriptions
        self._silence = silence
        self._time = time

    def read(self, message: Envelope, local_ms: int, events: list[FeedEvent]) -> None:
        """Add the events of `message` to `events`. Raises `BadFrame` if the message as a whole cannot be read."""
        if message.channel == "candles":
            for event in message.events:
                self._candles(event, message.time_ms, local_ms, events)
        elif message.channel == "subscriptions":
            self._acknowledge(message, local_ms)

    def reject(self, bad: BadFrame) -> FeedEvent:
        """Count what could not be read."""
        self.rejected[bad.kind] += 1
        return FrameRejected(self._connection, str(bad))

    def _candles(self, event: Any, frame_ms: int, local_ms: int, events: list[FeedEvent]) -> None:
        rows = event.get("candles") if isinstance(event, dict) else None
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(rows, list) or kind not in ("snapshot", "update"):
            raise BadFrame("bad candles event")
        exchange_ms = self._time.ms
        if exchange_ms is None:
            return  # a new connection whose time is not known yet: the next update repeats all of it
        if kind == "snapshot":
            self._silence.begin(exchange_ms, local_ms)
            self._snapshot(rows, frame_ms, events)
            return
        self._silence.ended(exchange_ms, local_ms)
        for row in rows:
            self._update(row, frame_ms, events)

    def _update(self, row: Any, frame_ms: int, events: list[FeedEvent]) -> None:
        try:
            book = self._books.get(_product(row))
        except BadFrame as bad:
            events += self._books.frames_lost("an update was not understood")
            events.append(self.reject(bad))
            return
        if book is None:
            return
        try:
            events += self._books.named(book, book.update(self._candle(book, row, frame_ms)))
        except BadFrame as bad:
            self._books.invalidate(book, "an update was not understood")
            events.append(self.reject(bad))

    def _snapshot(self, rows: list[Any], frame_ms: int, events: list[FeedEvent]) -> None:
        """A set of candles with gaps. Only those of the open bucket are used, and only to be shown."""
        open_start = str(self._time.open_s)
        seen: set[str] = set()
        for row in rows:
            try:
                product = _product(row)
                if product in seen and row.get("start") != open_start:
                    continue
                seen.add(product)
                book = self._books.get(product)
                if book is not None and row.get("start") == open_start:
                    events += self._books.named(book, book.preview(self._candle(book, row, frame_ms)))
            except BadFrame as bad:
                events.append(self.reject(bad))

    def _candle(self, book: BucketBook, row: dict[str, Any], frame_ms: int) -> UnifiedCandle:
        exchange_ms = self._time.ms or 0
        # A frame's time that the clock did not accept must not win over all later observations.
        candle = read_candle(row, book.product, BASE, CandleState.FORMING, min(frame_ms, exchange_ms))
        if candle.start_s * 1000 > exchange_ms + _AHEAD_MS:
            raise BadFrame("bad candle", "start is in the future")
        return candle

    def _acknowledge(self, message: Envelope, local_ms: int) -> None:
        try:
            listed = [Acknowledgement.model_validate(event) for event in message.events]
        except ValidationError:
            raise BadFrame("bad acknowledgement") from None
        streams = [stream for one in listed for stream in one.subscriptions.get("candles", ())]
        self._subscriptions.answered(streams, local_ms)
        self._books.acknowledged(streams)


def _product(row: Any) -> str:
    product = row.get("product_id") if isinstance(row, dict) else None
    if not isinstance(product, str):
        raise BadFrame("bad candle", "product_id is not a text")
    return product
