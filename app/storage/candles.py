"""Candle cache: one ring of fixed records per series (see `app.storage.rings`), written by compare-and-set."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import orjson
from redis import Redis

from app.market.records import PROVISIONAL, RECORD
from app.market.series import Series
from app.storage import keys
from app.storage.model import Outcome, Range, View, Write, Written
from app.storage.rings import RingReader, note_of
from app.storage.scripts import Call, script
from app.util.batches import batched
from app.util.numbers import fragment
from app.wire.candles import ClosedCandle, values_of

SERIES_PER_CALL = 64
"""Series per script call: enough to save round trips, few enough not to block Redis."""

CALLS_PER_PIPELINE = 12
"""Script calls sent before their responses are read: closes of 700 products; 43 MB with full rings."""
_AS_IT_IS = 2**32 - 1
"""Leaves the origin of a series unchanged."""

SPARE = 100
"""Extra buckets of a ring that grows: this many may close until it is filled."""

_OUTCOMES = {int(outcome): outcome for outcome in Outcome}


class CandleCache(RingReader):
    """Reads and writes rings. `capacity`: of new rings. `events_kept`: bound of the event stream."""

    def __init__(self, client: Redis, *, capacity: int, events_kept: int) -> None:
        super().__init__(client, capacity)
        self._events_kept = events_kept
        self._write = script(client, "write_candles")
        self._grow = script(client, "grow_ring")
        self._mark = script(client, "mark_provisional")

    def write(self, writes: Iterable[Write], *, announce: bool = True) -> list[Written]:
        """Compare-and-set of every record. The same atomic step publishes new and corrected candles."""
        written: list[Written] = []
        for parts in batched(batched(writes, SERIES_PER_CALL), CALLS_PER_PIPELINE):
            answers = self._write.run_pipelined(self._call(some, announce) for some in parts)
            written += [one for some, answer in zip(parts, answers, strict=True) for one in _split(some, *answer)]
        return written

    def _call(self, writes: Sequence[Write], announce: bool) -> Call:
        """Keys and arguments of the script. They are few: sending one takes as long as computing a price."""
        rings: list[int] = []
        packed: list[bytes] = []
        payloads: list[bytes] = []
        for series, records, origin, known_origin_s in writes:
            rings += (len(records), series.timeframe.seconds)
            rings += (_AS_IT_IS, 0, 0) if origin is None else (origin.start_s, note_of(origin), known_origin_s)
            packed.append(records.tobytes())
            if announce:
                payloads += [_payload(series, row) for row in records.tolist()]
        header = struct.pack(f"<{len(rings)}I", *rings)
        named = [keys.EVENTS, keys.clock(writes[0].series.exchange), *[keys.candles(w.series) for w in writes]]
        return named, [self._events_kept, self._capacity, header, b"".join(packed), *payloads]

    def read(self, series: Series, first_s: int, last_s: int) -> View:
        """The records of the buckets from `first_s` to `last_s` (starts, inclusive)."""
        return self.read_many([Range(series, first_s, last_s)])[0]

    def read_whole(self, series: Series, last_s: int) -> View:
        """All records of `series` up to the bucket `last_s`."""
        return next(self.read_rings([series])).view(series.timeframe.seconds, last_s)

    def mark_provisional(self, ranges: Sequence[Range], *, confirmed: bool = False) -> int:
        """Mark closed candles of `ranges` as provisional, so REST is requested.

        `confirmed`: also mark candles that REST has confirmed, which is a change of the series. Otherwise such candles
        are marked only if they rely on a silent stream, which is now void. Returns how many. Values do not change.
        """
        marked = 0
        for some in batched(ranges, SERIES_PER_CALL):
            args = [n for series, first_s, last_s in some for n in (series.timeframe.seconds, first_s, last_s)]
            marked += int(self._mark(keys=[keys.candles(s) for s, _, _ in some], args=[*args, int(confirmed)]))
        return marked

    def reach_back(self, series: Series, first_s: int, last_s: int) -> None:
        """Make room for the buckets `first_s` to `last_s`, and for some that close until they are filled."""
        buckets = (last_s - first_s) // series.timeframe.seconds + 1 + SPARE
        self._grow_to(series, max(buckets, self._capacity))

    def grow(self, many: Iterable[Series]) -> None:
        """Make room in rings that were created with a smaller `capacity`."""
        for series in many:
            self._grow_to(series, self._capacity)

    def _grow_to(self, series: Series, buckets: int) -> None:
        self._grow(keys=[keys.candles(series)], args=[series.timeframe.seconds, buckets])


def _payload(series: Series, row: tuple[Any, ...]) -> bytes:
    """The published JSON of the candle in `row`."""
    start_s, flags, *_ = row
    candle: ClosedCandle = {
        "exchange": series.exchange,
        "product": series.product,
        "timeframe": series.timeframe,
        "start": start_s,
        **values_of(row, fragment),
        "provisional": bool(flags & PROVISIONAL),
    }
    return orjson.dumps(candle)


def _split(writes: Sequence[Write], codes: list[int], befores: list[Any]) -> list[Written]:
    """The result of each of `writes`, from the response of the script."""
    replaced = {number: np.frombuffer(raw, RECORD) for number, raw in zip(befores[::2], befores[1::2], strict=True)}
    outcomes = [_OUTCOMES[code] for code in codes]
    written, at = [], 0
    for series, records, *_ in writes:
        end = at + len(records)
        before = {number - at: replaced[number] for number in range(at, end) if number in replaced} if replaced else {}
        written.append(Written(series, records, outcomes[at:end], before))
        at = end
    return written
