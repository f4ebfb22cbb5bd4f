"""How candles lie in Redis, and how they are read: many series at once, each as it was at one moment.

A ring is a string of so many records of 56 bytes (its capacity), slot = (start // step) mod capacity, and a trailer of
16 bytes: revision (u64, grows with every closed candle that is new or different), origin (u32, UNIX seconds: the first
bucket that the exchange is known to have had; 0 while nothing was asked), reserved (u32).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
from redis import Redis

from app.batches import batched
from app.cache import keys
from app.cache.model import NOTHING, Ring, View
from app.records import RECORD
from app.series import Series

TRAILER = struct.Struct("<QII")
RANGES_A_READ = 64
"""Ranges in one answer: enough to save the round trips, few enough not to keep Redis from others."""
RINGS_A_READ = 32
"""Whole rings in one answer: some megabytes."""


class RingReader:
    """`capacity` is that of most rings; those of other lengths take a second look at first."""

    def __init__(self, client: Redis, capacity: int) -> None:
        self._client = client
        self._capacity = capacity
        self._other_capacities: dict[Series, int] = {}

    def read_many(self, ranges: Sequence[tuple[Series, int, int]]) -> list[View]:
        """The records of each (series, first bucket, last bucket), as far as the rings reach back."""
        return [view for some in batched(ranges, RANGES_A_READ) for view in self._read(some)]

    def read_rings(self, many: Sequence[Series]) -> Iterator[Ring]:
        """The whole ring of each series."""
        for some in batched(many, RINGS_A_READ):
            with self._client.pipeline(transaction=False) as pipe:
                for series in some:
                    pipe.get(keys.candles(series))
                yield from map(_ring, pipe.execute())

    def _read(self, some: Sequence[tuple[Series, int, int]]) -> list[View]:
        while True:
            looks = self._look(some)
            lengths = {s: length for (s, _, _), (length, *_) in zip(some, looks, strict=True) if length}
            mistaken = {s: n for s, length in lengths.items() if (n := _slots(length)) != self._capacity_of(s)}
            if not mistaken:
                return [_view(look, *asked) for look, asked in zip(looks, some, strict=True)]
            self._other_capacities |= mistaken

    def _look(self, some: Sequence[tuple[Series, int, int]]) -> list[list[Any]]:
        """Of each ring its length in bytes, its trailer, and its slots of the range in at most two pieces.

        One transaction: no script, which would copy all that it reads twice.
        """
        counts = []
        with self._client.pipeline(transaction=True) as pipe:
            for series, first_s, last_s in some:
                key = keys.candles(series)
                pieces = _pieces(self._capacity_of(series), series.timeframe.seconds, first_s, last_s)
                pipe.strlen(key)
                pipe.getrange(key, -TRAILER.size, -1)
                for begin, end in pieces:
                    pipe.getrange(key, begin, end)
                counts.append(2 + len(pieces))
            answer = iter(pipe.execute())
        return [list(islice(answer, count)) for count in counts]

    def _capacity_of(self, series: Series) -> int:
        return self._other_capacities.get(series, self._capacity)


@lru_cache(maxsize=64)
def _pieces(capacity: int, step: int, first_s: int, last_s: int) -> list[tuple[int, int]]:
    """Where the slots of a range lie, in its order: first and last byte of each piece."""
    count = min((last_s - first_s) // step + 1, capacity)
    if count <= 0:
        return []
    begin = (last_s // step - count + 1) % capacity
    slots = [(begin, min(begin + count, capacity)), (0, begin + count - capacity)]
    return [(a * RECORD.itemsize, b * RECORD.itemsize - 1) for a, b in slots if b > a]


def _slots(length: int) -> int:
    return (length - TRAILER.size) // RECORD.itemsize


def _ring(raw: bytes | None) -> Ring:
    if not raw:
        return Ring(NOTHING.records, 0, 0)
    capacity = _slots(len(raw))
    revision, origin_s, _ = TRAILER.unpack_from(raw, capacity * RECORD.itemsize)
    return Ring(np.frombuffer(raw, RECORD, count=capacity), revision, origin_s)


def _view(look: list[Any], series: Series, first_s: int, last_s: int) -> View:
    length, trailer, *pieces = look
    if not length:
        return NOTHING
    revision, origin_s, _ = TRAILER.unpack(trailer)
    slots = np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), RECORD)
    return View.of(slots, revision, origin_s, series.timeframe.seconds, first_s, last_s)
