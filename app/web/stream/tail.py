"""The newest events in memory, encoded once for all clients. A client is only a position in it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from app.events import Event, EventId, Wanted
from app.web.stream.frames import event_frame

KEPT = 5_000
"""Events in memory: 3 MB. A client further behind reads from Redis."""

CHUNK_BYTES = 64_000
"""Approximate size of a chunk for a client; a client that does not read holds no more memory than this."""

CHUNKS = 100
"""Chunks that are cached until a new event comes."""


class Chunk(NamedTuple):
    """The next bytes for a client, and its position after them."""

    body: bytes
    position: EventId


class Tail:
    """Every event after `start`, up to `position`. Not thread-safe."""

    def __init__(self, start: EventId, kept: int = KEPT) -> None:
        self.start = self.position = start
        self._kept = kept
        self._ids: list[EventId] = []
        self._events: list[tuple[Event, bytes]] = []
        self._chunks: dict[tuple[EventId, Wanted], Chunk] = {}

    def add(self, events: Iterable[Event], position: EventId) -> None:
        """Append `events`, which are all events after `self.position` up to `position`."""
        for event in events:
            self._ids.append(event.id)
            self._events.append((event, event_frame(event)))
        self.position = position
        self._chunks.clear()
        if len(self._ids) > 2 * self._kept:
            self.start = self._ids[-self._kept - 1]
            del self._ids[: -self._kept], self._events[: -self._kept]

    def after(self, position: EventId, wanted: Wanted) -> Chunk | None:
        """The next chunk for a client at `position`; None if this tail does not reach back that far."""
        if position < self.start:
            return None
        asked = (position, wanted)  # most clients want the same
        chunk = self._chunks.get(asked)
        if chunk is None:
            if len(self._chunks) >= CHUNKS:
                self._chunks.clear()
            chunk = self._chunks[asked] = self._chunk(position, wanted)
        return chunk

    def _chunk(self, position: EventId, wanted: Wanted) -> Chunk:
        newer = self._events[bisect_right(self._ids, position) :]
        return chunk_of(((e, frame) for e, frame in newer if wanted.takes(e)), max(position, self.position))


def chunk_of(framed: Iterable[tuple[Event, bytes]], position: EventId) -> Chunk:
    """A chunk of the first of `framed`. It ends at `position` if all of them fit."""
    frames: list[bytes] = []
    size, last = 0, position
    for event, frame in framed:
        if size >= CHUNK_BYTES:
            return Chunk(b"".join(frames), last)
        frames.append(frame)
        size, last = size + len(frame), event.id
    return Chunk(b"".join(frames), position)
