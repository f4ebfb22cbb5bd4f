"""Frames in the exchange's format, for benchmarks: every product of a connection trades every second.

python -m benchmarks.feed PORT      serves them in real time
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count

import orjson
from aiohttp import web

STEP_S = 300
START_S = 1_769_093_400
"""Exchange time at the start: the beginning of a bucket."""


class Feed:
    """The exchange's side of one connection. Candle updates have one candle each; prices and volumes change."""

    def __init__(self, products: Sequence[str], seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._products = list(products)
        self._price = {product: self._random.uniform(0.01, 1000) for product in products}
        self._candle: dict[str, list[float]] = {}
        self._bucket_s = 0
        self._sequence = 0

    def hello(self, now_s: float) -> list[bytes]:
        """The acknowledgement and the first heartbeat."""
        listed = {"subscriptions": {"candles": self._products, "heartbeats": ["heartbeats"]}}
        return [self._frame("subscriptions", now_s, orjson.dumps(listed).decode()), self._beat(now_s)]

    def second(self, now_s: float) -> Iterator[bytes]:
        """The frames of the second from `now_s` on: a heartbeat, then an update of every product, evenly spread."""
        yield self._beat(now_s)
        for i, product in enumerate(self._products, 1):
            yield self._update(product, now_s + i / (len(self._products) + 1))

    def _update(self, product: str, now_s: float) -> bytes:
        """The update of `product` after a trade."""
        start = int(now_s) // STEP_S * STEP_S
        if start != self._bucket_s:
            self._bucket_s = start
            self._candle.clear()
        price = self._price[product] = self._price[product] * self._random.uniform(0.999, 1.001)
        candle = self._candle.setdefault(product, [price, price, price, price, 0.0])
        candle[1], candle[2], candle[3] = max(candle[1], price), min(candle[2], price), price
        candle[4] += self._random.uniform(0.0001, 10)
        opened, high, low, close, volume = (f"{number:.8f}".rstrip("0").rstrip(".") for number in candle)
        row = (
            f'{{"start":"{start}","high":"{high}","low":"{low}","open":"{opened}","close":"{close}",'
            f'"volume":"{volume}","product_id":"{product}"}}'
        )
        return self._frame("candles", now_s, f'{{"type":"update","candles":[{row}]}}')

    def _beat(self, now_s: float) -> bytes:
        text = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        counter = int(now_s) % 100_000
        event = f'{{"current_time":"{text} +0000 UTC m=+{counter}.317767664","heartbeat_counter":{counter}}}'
        return self._frame("heartbeats", now_s, event)

    def _frame(self, channel: str, now_s: float, event: str) -> bytes:
        stamp = datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "713Z"
        number, self._sequence = self._sequence, self._sequence + 1
        head = f'{{"channel":"{channel}","timestamp":"{stamp}","sequence_num":{number},"events":['
        return f"{head}{event}]}}".encode()


async def _serve(request: web.Request) -> web.WebSocketResponse:
    """Serve one connection: send the frames of its subscriptions, each at its time, until it disconnects."""
    wire = web.WebSocketResponse()
    await wire.prepare(request)
    products: list[str] = []
    async for message in wire:
        asked = orjson.loads(message.data)
        products += asked.get("product_ids", [])
        if asked["channel"] == "heartbeats":
            break
    feed, began = Feed(products), time.monotonic()
    for frame in feed.hello(START_S):
        await wire.send_str(frame.decode())
    with suppress(ConnectionError):
        for second in count(1):
            for i, frame in enumerate(feed.second(START_S + second)):
                due = began + second + i / (len(products) + 1)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await wire.send_str(frame.decode())
    return wire


def main() -> None:
    app = web.Application()
    app.router.add_get("/", _serve)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)


if __name__ == "__main__":
    main()
