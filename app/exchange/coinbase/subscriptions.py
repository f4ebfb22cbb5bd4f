"""The products that a connection wants, has requested, and receives. No I/O, no clock.

The exchange uses one id for a product and its aliases (`BTC-USDC` is fed from `BTC-USD`): the *stream id*. It never
refuses a product; it leaves it out of the acknowledgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import orjson

_PATIENCE_MS = 2_000
"""A product missing from a response may still arrive, in another response or as data."""
_FIRST_RETRY_MS = 10_000
_LAST_RETRY_MS = 640_000


class Subscriptions:
    """`names`: stream id to the wanted products that it feeds."""

    def __init__(self, aliases: Mapping[str, str], per_message: int) -> None:
        self.names: dict[str, tuple[str, ...]] = {}
        self.accepted: set[str] = set()
        self.refused: set[str] = set()
        self._no_longer_refused: list[str] = []
        self._aliases = dict(aliases)
        self._per_message = per_message
        self._is_open = False
        self._to_send: list[tuple[str, list[str]]] = []
        self._sent = 0
        self._answers = 0
        self._requested: dict[str, int] = {}
        self._missing_since_local_ms: dict[str, int] = {}
        self._failed: set[str] = set()
        self._once_more: set[str] = set()
        self._retry_ms = _FIRST_RETRY_MS
        self._retry_at_local_ms: int | None = None

    @property
    def products(self) -> list[str]:
        return [name for names in self.names.values() for name in names]

    def stream_id(self, product: str) -> str:
        return self._aliases.get(product, product)

    def add(self, products: Iterable[str], aliases: Mapping[str, str] | None = None) -> list[str]:
        """Add `products`; returns the new stream ids. `aliases`: aliases that became known since."""
        new, wanted = [], set(self.products)
        for product in dict.fromkeys(products):
            if aliases and product in aliases and product not in wanted:
                self._aliases[product] = aliases[product]
            stream = self.stream_id(product)
            names = self.names.get(stream, ())
            if not names:
                new.append(stream)
            if product not in names:
                self.names[stream] = (*names, product)
        if self._is_open:
            self._queue("subscribe", new)
        return new

    def remove(self, products: Iterable[str]) -> list[str]:
        """Remove `products`; returns the stream ids no longer wanted."""
        gone = []
        for product in dict.fromkeys(products):
            stream = self.stream_id(product)
            names = self.names.get(stream, ())
            left = tuple(name for name in names if name != product)
            if left:
                self.names[stream] = left
            elif names:
                del self.names[stream]
                self._forget(stream)
                gone.append(stream)
        if self._is_open:
            self._queue("unsubscribe", gone)
        return gone

    def opened(self) -> None:
        """A new connection: everything must be requested again."""
        self.closed()
        self._is_open = True
        self._queue("subscribe", list(self.names))
        self._to_send.append(("heartbeats", []))

    def closed(self) -> None:
        self._is_open = False
        self._to_send.clear()
        self._requested.clear()
        self._missing_since_local_ms.clear()
        self._failed.clear()
        self._once_more.clear()
        self.accepted.clear()
        self._sent = self._answers = 0

    def requests(self) -> list[str]:
        """The messages to send now, in order, each once."""
        messages: list[dict[str, object]] = []
        for kind, streams in self._to_send:
            self._sent += 1
            if kind == "heartbeats":
                messages.append({"type": "subscribe", "channel": "heartbeats"})
                continue
            messages.append({"type": kind, "product_ids": streams, "channel": "candles"})
            if kind == "subscribe":
                self._requested.update(dict.fromkeys(streams, self._sent))
        self._to_send.clear()
        return [orjson.dumps(message).decode() for message in messages]

    def answered(self, listed: Sequence[str], local_ms: int) -> None:
        """An acknowledgement arrived. `listed`: all stream ids of its candles channel."""
        for stream in listed:
            self.accept(stream)
        self._count_answer(local_ms)

    def failed(self, local_ms: int) -> None:
        """An error arrived instead of an acknowledgement. It may be about anything, so the request is repeated."""
        self._failed.update(self._count_answer(local_ms))

    def _count_answer(self, local_ms: int) -> list[str]:
        """Responses arrive in the order of requests. Returns the newly missing streams of the requests answered."""
        self._answers += 1
        answered = [stream for stream, number in self._requested.items() if number <= self._answers]
        new = [stream for stream in answered if stream not in self._missing_since_local_ms]
        self._missing_since_local_ms.update(dict.fromkeys(new, local_ms))
        return new

    def accept(self, stream: str) -> None:
        """The exchange delivers `stream`."""
        if stream in self.names and stream not in self.accepted:
            if stream in self.refused:
                self._no_longer_refused.append(stream)
            self._forget(stream)
            self.accepted.add(stream)

    def no_longer_refused(self) -> list[str]:
        """The stream ids that were refused and are delivered now; each is returned once."""
        found, self._no_longer_refused = self._no_longer_refused, []
        return [stream for stream in found if stream in self.accepted]

    def newly_refused(self, local_ms: int) -> list[str]:
        """The stream ids requested but not delivered; each is returned once, and requested again now and then."""
        late = [stream for stream, since in self._missing_since_local_ms.items() if local_ms - since >= _PATIENCE_MS]
        new = []
        for stream in late:
            del self._missing_since_local_ms[stream]
            self._requested.pop(stream, None)
            if stream in self._failed and stream not in self._once_more:
                self._once_more.add(stream)
            elif stream not in self.refused:
                new.append(stream)
            self._failed.discard(stream)
        self.refused.update(new)
        self._request_again(local_ms)
        return new

    def _request_again(self, local_ms: int) -> None:
        waiting = self.refused | self._once_more
        if not waiting:
            self._retry_at_local_ms, self._retry_ms = None, _FIRST_RETRY_MS
        elif self._retry_at_local_ms is None:
            self._retry_at_local_ms = local_ms + self._retry_ms
        elif local_ms >= self._retry_at_local_ms:
            self._queue("subscribe", sorted(waiting))
            self._retry_ms = min(2 * self._retry_ms, _LAST_RETRY_MS)
            self._retry_at_local_ms = local_ms + self._retry_ms

    def _queue(self, kind: str, streams: list[str]) -> None:
        for i in range(0, len(streams), self._per_message):
            self._to_send.append((kind, streams[i : i + self._per_message]))

    def _forget(self, stream: str) -> None:
        self.accepted.discard(stream)
        self.refused.discard(stream)
        self._failed.discard(stream)
        self._once_more.discard(stream)
        self._requested.pop(stream, None)
        self._missing_since_local_ms.pop(stream, None)
