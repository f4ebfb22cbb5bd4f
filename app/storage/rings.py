"""Rings: layout of candles in Redis. Reads many series at once, each as of one moment.

A ring is a string of `capacity` records of 56 bytes, slot = (start // step) mod capacity, and a trailer of 16 bytes:
revision (u64, grows with every closed candle that is new, different, or no longer provisional), origin (u32, UNIX
seconds: the bucket before which responses found nothing; 0 if there is none), note on the origin (u32: exchange time of
the last such response in UNIX seconds, a multiple of four, plus the number of agreeing responses).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice

import numpy as np
from redis import Redis

from app.market.records import RECORD
from app.market.series import Series
from app.storage import keys
from app.storage.model import MAX_RESPONSES, NO_ORIGIN, NOTHING, Origin, Range, Ring, View
from app.storage.pipelining import Command, raise_first, send_pipelined, transaction
from app.util.batches import batched

TRAILER = struct.Struct("<QII")
RANGES_PER_READ = 64
"""Ranges per response: enough to save round trips, few enough not to block Redis."""
RINGS_PER_READ = 32
"""Whole rings per response: some megabytes."""


class RingReader:
    """Reads rings. `capacity`: of most rings. Rings of another capacity take a second read the first time."""

    def __init__(self, client: Redis, capacity: int) -> None:
        self._client = client
        self._capacity = capacity
        self._other_capacities: dict[Series, int] = {}
        self._no_ring = Ring(np.zeros(capacity, RECORD), 0, NO_ORIGIN)

    def read_many(self, ranges: Sequence[Range]) -> list[View]:
        """The records of each range, as far as the rings reach back."""
        return [view for some in batched(ranges, RANGES_PER_READ) for view in self._read(some)]

    def read_rings(self, many: Sequence[Series]) -> Iterator[Ring]:
        """The whole ring of each series. Much cheaper than `read_many`: the server only copies."""
        for some in batched(many, RINGS_PER_READ):
            with self._client.pipeline(transaction=False) as pipe:
                for series in some:
                    pipe.get(keys.candles(series))
                yield from (_ring(raw) if raw else self._no_ring for raw in pipe.execute())

    def _read(self, some: Sequence[Range]) -> list[View]:
        while True:
            looks = self._look(some)
            odd = [series for (series, _, _), (trailer, *_) in zip(some, looks, strict=True) if not _is_one(trailer)]
            if not odd or not (lengths := self._lengths(odd)):
                return [_view(look, *asked) for look, asked in zip(looks, some, strict=True)]
            self._other_capacities |= lengths

    def _look(self, some: Sequence[Range]) -> list[list[bytes]]:
        """The bytes behind the slots of each ring, and its slots of the range in at most two pieces.

        One transaction. A script would copy all data twice.
        """
        commands: list[Command] = []
        counts = []
        for series, first_s, last_s in some:
            key, capacity = keys.candles(series), self._other_capacities.get(series, self._capacity)
            pieces = _pieces(capacity, series.timeframe.seconds, first_s, last_s)
            commands.append(("GETRANGE", key, capacity * RECORD.itemsize, -1))
            commands += [("GETRANGE", key, begin, end) for begin, end in pieces]
            counts.append(1 + len(pieces))
        answer = iter(transaction(self._client, commands))
        return [list(islice(answer, count)) for count in counts]

    def _lengths(self, many: Sequence[Series]) -> dict[Series, int]:
        """Number of slots in the ring of each series that has one."""
        answers = send_pipelined(self._client, [("STRLEN", keys.candles(series)) for series in many])
        raise_first(answers)
        return {series: _slots(length) for series, length in zip(many, answers, strict=True) if length}


@lru_cache(maxsize=64)
def _pieces(capacity: int, step: int, first_s: int, last_s: int) -> list[tuple[int, int]]:
    """Positions of the slots of a range, in order: first and last byte of each piece."""
    count = min((last_s - first_s) // step + 1, capacity)
    if count <= 0:
        return []
    begin = (last_s // step - count + 1) % capacity
    slots = [(begin, min(begin + count, capacity)), (0, begin + count - capacity)]
    return [(a * RECORD.itemsize, b * RECORD.itemsize - 1) for a, b in slots if b > a]


def _is_one(trailer: bytes) -> bool:
    """Whether this is a trailer. Its length differs if the ring is missing or has another capacity."""
    return len(trailer) == TRAILER.size


def _slots(length: int) -> int:
    return (length - TRAILER.size) // RECORD.itemsize


def _ring(raw: bytes) -> Ring:
    capacity = _slots(len(raw))
    revision, origin_s, note = TRAILER.unpack_from(raw, capacity * RECORD.itemsize)
    return Ring(np.frombuffer(raw, RECORD, count=capacity), revision, _origin(origin_s, note))


def _view(look: list[bytes], series: Series, first_s: int, last_s: int) -> View:
    trailer, *pieces = look
    if not _is_one(trailer):
        return NOTHING
    revision, origin_s, note = TRAILER.unpack(trailer)
    slots = np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), RECORD)
    return View.from_slots(slots, revision, _origin(origin_s, note), series.timeframe.seconds, first_s, last_s)


def note_of(origin: Origin) -> int:
    """The number of responses that agree on `origin`, and the time of the last, in one number."""
    return int(origin.seen_s) // 4 * 4 + min(origin.responses, MAX_RESPONSES)


def _origin(start_s: int, note: int) -> Origin:
    return Origin(start_s, note // 4 * 4, note % 4)
