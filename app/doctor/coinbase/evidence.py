"""What the exchange sent: frames and responses, with the moments at which they came. Pure.

Times named `exchange` are the exchange's, read from its frames; `local` is a clock of this machine that only goes
forward; `wall` its UNIX time. All in milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple, Self

import orjson

from app.exchange.coinbase.models import Envelope, Message, decode, read_candle
from app.exchange.frames import BadFrame
from app.market.candles import CandleState
from app.market.timeframes import BASE, Timeframe


class Row(NamedTuple):
    """A candle as it was sent, with exact numbers."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


class Update(NamedTuple):
    """One row of the `candles` channel."""

    product: str
    start_s: int
    row: Row


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the stream. `message` is None if it could not be read."""

    connection: str
    data: bytes
    local_ms: int
    wall_ms: int
    message: Message | None
    updates: tuple[Update, ...] = ()
    snapshot: tuple[Update, ...] = ()

    @classmethod
    def read(cls, connection: str, data: bytes, local_ms: int, wall_ms: int) -> Self:
        try:
            message = decode(data)
        except BadFrame:
            return cls(connection, data, local_ms, wall_ms, None)
        if not isinstance(message, Envelope) or message.channel != "candles":
            return cls(connection, data, local_ms, wall_ms, message)
        updates, snapshot = (tuple(_rows_of(message, kind)) for kind in ("update", "snapshot"))
        return cls(connection, data, local_ms, wall_ms, message, updates, snapshot)

    @property
    def envelope(self) -> Envelope | None:
        """The message if it has a channel, a time and a number."""
        return self.message if isinstance(self.message, Envelope) else None

    def events(self, channel: str) -> Iterator[dict[str, Any]]:
        """The events of this frame if it is one of `channel`."""
        envelope = self.envelope
        if envelope is not None and envelope.channel == channel:
            yield from (event for event in envelope.events if isinstance(event, dict))


def _rows_of(message: Envelope, kind: str) -> Iterator[Update]:
    for event in message.events:
        if isinstance(event, dict) and event.get("type") == kind and isinstance(event.get("candles"), list):
            for raw in event["candles"]:
                if isinstance(raw, dict) and isinstance(product := raw.get("product_id"), str):
                    read = _row(raw, product, BASE)
                    if read is not None:
                        yield Update(product, *read)


def _row(raw: dict[str, Any], product: str, timeframe: Timeframe) -> tuple[int, Row] | None:
    """Start and numbers of `raw`; None if the software would reject it."""
    try:
        start_s = read_candle(raw, product, timeframe, CandleState.FORMING, 0).start_s
    except BadFrame:
        return None
    return start_s, Row(*(Decimal(raw[name]) for name in Row._fields))


@dataclass(frozen=True, slots=True)
class Page:
    """The candles of a response, and what was asked for: `first_s` to `last_s`, both starts of buckets.

    `order`: the starts as they came. `unreadable`: rows that the software would reject.
    """

    product: str
    timeframe: Timeframe
    first_s: int
    last_s: int
    rows: Mapping[int, Row] = field(default_factory=dict)
    order: tuple[int, ...] = ()
    unreadable: int = 0

    @property
    def buckets(self) -> int:
        return (self.last_s - self.first_s) // self.timeframe.seconds + 1

    def word(self, start_s: int) -> Row | None:
        """What this response says about a bucket that it covers; None: it had no trades."""
        row = self.rows.get(start_s)
        return row if row is not None and row.volume else None

    def covered(self) -> Iterator[int]:
        """The buckets about which this response says something: from its oldest row to its newest."""
        if self.rows:
            yield from range(min(self.rows), max(self.rows) + 1, self.timeframe.seconds)

    def is_settled(self, start_s: int, response: Response, settling_s: float) -> bool:
        """Whether the bucket had been over for `settling_s` seconds when the request was sent."""
        return response.sent_exchange_ms / 1000 >= start_s + self.timeframe.seconds + settling_s

    def read(self, body: dict[str, Any]) -> Page:
        """This page with the rows of `body`."""
        rows = [_row(raw, self.product, self.timeframe) if isinstance(raw, dict) else None for raw in body["candles"]]
        good = [row for row in rows if row is not None]
        order = tuple(start_s for start_s, _ in good)
        return replace(self, rows=dict(good), order=order, unreadable=len(rows) - len(good))


@dataclass(frozen=True, slots=True)
class Response:
    """One response of REST. `status` 0: none came. `problem`: why it is unusable; empty if it is fine.

    `sent_exchange_ms`, `received_exchange_ms`: the time of the newest frame at these moments; 0: none had come.
    """

    path: str
    params: Mapping[str, str]
    sent_local_ms: int
    received_local_ms: int
    wall_ms: int
    sent_exchange_ms: int
    received_exchange_ms: int
    status: int
    text: str
    problem: str = ""
    page: Page | None = None

    @property
    def body(self) -> Any:
        """The body as JSON; None if it is not JSON."""
        try:
            return orjson.loads(self.text)
        except orjson.JSONDecodeError:
            return None

    @property
    def is_fine(self) -> bool:
        return self.status == 200 and not self.problem

    def judged(self, page: Page | None) -> Response:
        """This response with its candles, if it is one to a request for `page`."""
        if not self.is_fine:
            return replace(self, page=page)
        body = self.body
        if not isinstance(body, dict):
            return replace(self, page=page, problem=f"{self.path}: the reply is not a JSON object")
        if page is not None and not isinstance(body.get("candles"), list):
            return replace(self, page=page, problem=f"{self.path}: the reply has no candles")
        return replace(self, page=page.read(body) if page else None)
