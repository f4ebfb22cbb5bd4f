"""One reader of the event stream for all clients of this process.

The reader keeps the newest events in a `Tail`. A client takes the events after its position from there, as fast as it
reads, or from Redis if it is further behind. So there are no queues: a client that does not read costs one chunk of
memory and delays no others. A client never loses events silently, even if it or this process was disconnected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
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

Position = TypeVar("Position", bound=EventId | None)
T = TypeVar("T")

CLIENTS = 1_000
"""Most clients in one process."""

HEARTBEAT_S = 15.0
"""Real seconds after which a client that got nothing gets a heartbeat."""

WAIT_S = 0.8
"""How long one call waits for events; less than the time-out of a connection to Redis."""

PACE_S = 0.04
"""Pause between two reads, so that events are sent together, not one by one."""

RETRY_S = 0.5
"""Pause after a failed read."""


class Hub:
    """Bound to one event loop. Its reader runs while there are clients."""

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
        """Where a new client starts: at `after`, or now. Raises redis' errors; `Unready` if there are too many."""
        if len(self._positions) >= CLIENTS or self._closed:
            raise Unready(f"{len(self._positions)} clients are connected already: connect to another web process")
        return after or (await asyncio.to_thread(self._stream.read, None)).position

    async def follow(self, wanted: Wanted, position: EventId) -> AsyncIterator[bytes]:
        """All wanted events after `position`, as bytes for one client, until `close`."""
        me = object()
        self._positions[me] = position
        try:
            with self._forming.watching(FORMING in wanted.kinds) as forming:
                yield opening_frame(position)
                due_s = _heartbeat_due_s()
                tail: Tail | None = None  # the first read goes to Redis, which knows whether events are lost
                while not self._closed:
                    self._keep_reading()
                    arrival, body = self._arrival, b""
                    chunk = tail.after(position, wanted) if tail and tail is self._tail else None
                    if chunk is None:
                        tail = self._tail
                        body, chunk = await self._look_back(position, wanted)
                    moved = chunk.position != position
                    self._positions[me] = position = chunk.position
                    if body := body + chunk.body + forming(wanted):
                        yield body
                        due_s = _heartbeat_due_s()
                    elif not moved and tail is self._tail and not await _has_arrived(arrival, due_s):
                        yield heartbeat_frame(position)
                        due_s = _heartbeat_due_s()
        finally:
            del self._positions[me]
            self._rest()

    def close(self) -> None:
        """End all streams cleanly; each client can resume elsewhere at its position."""
        self._closed = True
        self._announce()

    @property
    def clients(self) -> int:
        return len(self._positions)

    @property
    def lag_s(self) -> float:
        """How far (real seconds) the slowest client is behind the newest event that was read."""
        if self._tail is None or not self._positions:
            return 0.0
        return max(0.0, (self._tail.position.ms - min(list(self._positions.values())).ms) / 1000)

    async def _look_back(self, position: EventId, wanted: Wanted) -> tuple[bytes, Chunk]:
        """From Redis: a gap frame if events are lost, and the next chunk."""
        page = await self._trying(self._stream.read, position)
        told = gap_frame(position, page) if page.lost else b""
        return told, chunk_of([(e, event_frame(e)) for e in wanted.select(page.events)], page.position)

    def _keep_reading(self) -> None:
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())

    def _rest(self) -> None:
        if not self._positions and self._reader:
            self._reader.cancel()
            self._reader = self._tail = None

    async def _read(self) -> None:
        """Keep the tail up to the newest event, even if Redis fails for a time."""
        page = await self._trying(self._stream.read, None)
        tail = self._begin_at(page.position)
        while not self._closed:
            page = await self._trying(self._next_page, tail.position)
            if page.lost:  # each client finds its lost events when it reads
                tail = self._begin_at(page.position)
            elif page.position != tail.position:
                tail.add(page.events, page.position)
                self._announce()
            if len(page.events) < PAGE:
                await asyncio.sleep(PACE_S)

    def _next_page(self, position: EventId) -> EventPage:
        """Read even if no event came: the stream may have been replaced."""
        self._stream.wait(position, WAIT_S)
        return self._stream.read(position)

    def _begin_at(self, position: EventId) -> Tail:
        self._tail = Tail(position)
        self._announce()
        return self._tail

    def _announce(self) -> None:
        arrival, self._arrival = self._arrival, asyncio.Event()
        arrival.set()

    async def _trying(self, read: Callable[[Position], T], position: Position) -> T:
        """The result of `read`, on a thread. Retries while Redis is unavailable."""
        while True:
            try:
                result = await asyncio.to_thread(read, position)
            except RedisError as error:
                if not self._away:
                    log.warning("stream: cannot read from Redis: %s; %d clients wait", error, self.clients)
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
    """Whether `arrival` is set before `until_s` on the loop's clock."""
    try:
        async with asyncio.timeout_at(until_s):
            await arrival.wait()
    except TimeoutError:
        return False
    return True
