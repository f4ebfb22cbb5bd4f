"""One reader of the event stream for all clients of this process.

The reader keeps the newest events in a `Tail`; a client takes from there what comes after its own position, as fast as
it reads, and from Redis where it is further behind. So there are no queues: a client that does not read costs one
chunk of memory and delays nobody, and one that was away, or for which this process was, loses nothing silently.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

from redis.exceptions import RedisError

from app.errors import Unready
from app.events import FORMING, EventId, EventPage, Wanted
from app.storage.events import PAGE, EventStream
from app.storage.forming import FormingFeed
from app.web.stream.forming import Forming
from app.web.stream.frames import event_frame, gap_frame, heartbeat_frame, opening_frame
from app.web.stream.tail import Chunk, Tail, chunk_of

log = logging.getLogger(__name__)

T = TypeVar("T")

CLIENTS = 1_000
"""At once, in one process."""

HEARTBEAT_S = 15.0
"""Real seconds after which a client that got nothing is told that the connection lives."""

WAIT_S = 0.8
"""How long one call waits for news; less than the time-out of a connection to Redis."""

PACE_S = 0.04
"""Between two looks: what comes meanwhile is sent at once, instead of event by event."""

RETRY_S = 0.5
"""After Redis could not be read."""


class Hub:
    """Lives in one event loop. Its reader runs while there are clients."""

    def __init__(self, stream: EventStream, forming: FormingFeed) -> None:
        self._stream = stream
        self._tail: Tail | None = None
        self._forming = Forming(forming, self._announce)
        self._arrival = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._closed = False
        self._away = False
        self._positions: dict[object, EventId] = {}

    async def begin(self, after: EventId | None) -> EventId:
        """Where a new client starts: at `after`, or now. Raises redis' errors; `Unready` where there are too many."""
        if len(self._positions) >= CLIENTS or self._closed:
            raise Unready(f"{len(self._positions)} clients are connected already: connect to another web process")
        return after or (await asyncio.to_thread(self._stream.read, None)).position

    async def follow(self, wanted: Wanted, position: EventId) -> AsyncIterator[bytes]:
        """All events after `position` that are wanted, as bytes for one client, until `close`."""
        me = object()
        self._positions[me] = position
        try:
            with self._forming.watching(FORMING in wanted.kinds) as forming:
                yield opening_frame(position)
                due_s = _heartbeat_due_s()
                tail: Tail | None = None  # the first look goes to Redis: it knows whether the position is good
                while not self._closed:
                    self._keep_reading()
                    arrival, body = self._arrival, b""
                    chunk = tail.after(position, wanted) if tail and tail is self._tail else None
                    if chunk is None:
                        tail = self._tail
                        body, chunk = await self._look_back(position, wanted)
                    moved = chunk.position != position
                    self._positions[me] = position = chunk.position
                    if body := body + chunk.body + forming.pop(wanted):
                        yield body
                        due_s = _heartbeat_due_s()
                    elif not moved and tail is self._tail and not await _has_arrived(arrival, due_s):
                        yield heartbeat_frame(position)
                        due_s = _heartbeat_due_s()
        finally:
            del self._positions[me]
            self._rest()

    def close(self) -> None:
        """End all clients in order; each can go on elsewhere from where it stands."""
        self._closed = True
        self._announce()

    @property
    def clients(self) -> int:
        return len(self._positions)

    @property
    def lag_s(self) -> float:
        """How far (real seconds) the slowest client stands behind the newest event that was read."""
        if self._tail is None or not self._positions:
            return 0.0
        return max(0.0, (self._tail.position.ms - min(list(self._positions.values())).ms) / 1000)

    async def _look_back(self, position: EventId, wanted: Wanted) -> tuple[bytes, Chunk]:
        """From Redis: what a client is to be told first, and its next chunk."""
        page = await self._trying(partial(asyncio.to_thread, self._stream.read, position))
        told = gap_frame(position, page) if page.lost else b""
        return told, chunk_of([(e, event_frame(e)) for e in wanted.of(page.events)], page.position)

    def _keep_reading(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())

    def _rest(self) -> None:
        if not self._positions and self._reader:
            self._reader.cancel()
            self._reader = self._tail = None

    async def _read(self) -> None:
        """Keep the tail up to the newest event, whatever becomes of Redis meanwhile."""
        page = await self._trying(partial(asyncio.to_thread, self._stream.read, None))
        tail = self._begin_at(page.position)
        while not self._closed:
            page = await self._trying(partial(asyncio.to_thread, self._next_page, tail.position))
            if page.lost:  # clients find out for themselves what that means to them
                tail = self._begin_at(page.position)
            elif page.position != tail.position:
                tail.add(page.events, page.position)
                self._announce()
            if len(page.events) < PAGE:
                await asyncio.sleep(PACE_S)

    def _next_page(self, position: EventId) -> EventPage:
        """Read also where nothing came: the stream may be another one by now."""
        self._stream.wait(position, WAIT_S)
        return self._stream.read(position)

    def _begin_at(self, position: EventId) -> Tail:
        self._tail = Tail(position)
        self._announce()
        return self._tail

    def _announce(self) -> None:
        arrival, self._arrival = self._arrival, asyncio.Event()
        arrival.set()

    async def _trying(self, call: Callable[[], Awaitable[T]]) -> T:
        """The result of `call`, however long Redis is away."""
        while True:
            try:
                result = await call()
            except RedisError as error:
                if not self._away:
                    log.warning("stream: Redis cannot be read: %s; %d clients wait", error, self.clients)
                self._away = True
                await asyncio.sleep(RETRY_S)
            else:
                if self._away:
                    log.info("stream: Redis is back")
                self._away = False
                return result


def _heartbeat_due_s() -> float:
    return asyncio.get_running_loop().time() + HEARTBEAT_S


async def _has_arrived(arrival: asyncio.Event, until_s: float) -> bool:
    """Whether `arrival` came before the loop's clock shows `until_s`."""
    try:
        async with asyncio.timeout_at(until_s):
            await arrival.wait()
    except TimeoutError:
        return False
    return True
