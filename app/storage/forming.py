"""Forming candles, published to listeners: few messages for many candles, nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

import orjson
from redis import Redis

from app.events import BEFORE_ALL, FORMING, Event
from app.market.candles import LABELS, UnifiedCandle
from app.storage import keys
from app.storage.entries import readable
from app.util.batches import batched
from app.util.numbers import plain_json
from app.wire.candles import FormingCandle

CANDLES_PER_MESSAGE = 50
"""Keeps messages below 16 KB. Valkey 9 does not count larger ones that it buffers for a listener that does not read, so
it would never disconnect it."""


class FormingFeed:
    def __init__(self, client: Redis, exchange: str) -> None:
        self._client = client
        self._channel = keys.forming_channel(exchange)

    def publish(self, candles: Iterable[UnifiedCandle]) -> None:
        """Publish `candles` as JSON lists."""
        with self._client.pipeline(transaction=False) as pipe:
            for some in batched(candles, CANDLES_PER_MESSAGE):
                pipe.publish(self._channel, orjson.dumps([_row(candle) for candle in some]))
            pipe.execute()

    @contextmanager
    def listen(self) -> Iterator[Listener]:
        """Listen from now on. The listener holds one connection to Redis."""
        pubsub = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        try:
            pubsub.subscribe(self._channel)
            yield Listener(pubsub)
        finally:
            pubsub.close()


class Listener:
    def __init__(self, pubsub: object) -> None:
        self._pubsub = pubsub

    def next(self, timeout_s: float) -> list[Event]:
        """The candles of the next message, as events without an id; empty if no message comes in time."""
        message = self._pubsub.get_message(timeout=timeout_s)  # type: ignore[attr-defined]
        messages = [message["data"]] if message else []
        rows = chain.from_iterable(readable("forming candles", messages, _rows))
        return readable("forming candles", rows, _event)


def _rows(data: bytes) -> list[FormingCandle]:
    return list(orjson.loads(data))


def _event(row: FormingCandle) -> Event:
    return Event(BEFORE_ALL, FORMING, row["product"], row["timeframe"], plain_json(row))


def _row(candle: UnifiedCandle) -> FormingCandle:
    return {
        "exchange": candle.exchange,
        "product": candle.product,
        "timeframe": candle.timeframe,
        "start": candle.start_s,
        "open": candle.open,
        "high": candle.high,
        "low": candle.low,
        "close": candle.close,
        "volume": candle.volume,
        "trades": candle.trades,
        "state": LABELS[candle.state],
    }
