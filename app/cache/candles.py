"""The candle cache: one ring of fixed records a series (see `app.cache.rings`), written by compare-and-set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import orjson
from redis import Redis

from app.batches import batched
from app.cache import keys
from app.cache.model import Outcome, Ring, View, Write, Written
from app.cache.rings import RingReader
from app.cache.scripts import script
from app.candles import State
from app.records import EMPTY, RECORD, STATE_MASK
from app.series import Series

SERIES_A_CALL = 64
"""Series in one script call: enough to save the round trips, few enough not to keep Redis from others."""

# Members of an enumeration take long to make and to ask.
_LABELS = {int(state): state.label for state in State}
_OUTCOMES = {int(outcome): outcome for outcome in Outcome}


class CandleCache:
    """Reads and writes rings. `capacity` is that of new rings, `events_kept` bounds the event stream."""

    def __init__(self, client: Redis, *, capacity: int, events_kept: int) -> None:
        self._capacity = capacity
        self._events_kept = events_kept
        self._rings = RingReader(client, capacity)
        self._write = script(client, "write_candles")
        self._grow = script(client, "grow_ring")
        self._doubt = script(client, "doubt_candles")

    def write(self, writes: Iterable[Write], *, announce: bool = True) -> list[Written]:
        """Compare-and-set of every record; new and corrected candles are announced with the same atomic step."""
        written: list[Written] = []
        for some in batched(writes, SERIES_A_CALL):
            written += self._write_some(some, announce)
        return written

    def _write_some(self, writes: Sequence[Write], announce: bool) -> list[Written]:
        args: list[object] = [self._events_kept, self._capacity, int(announce)]
        for series, records, origin_s in writes:
            args += (series.timeframe.seconds, "" if origin_s is None else origin_s, records.tobytes())
            if announce:
                args.append(f"{series.exchange}:{series.product}:{series.timeframe}")
                args += [_payload(series, row) for row in records.tolist()]
        answer = self._write(keys=[keys.EVENTS, *(keys.candles(w.series) for w in writes)], args=args)
        return list(_split(writes, *answer))

    def read_many(self, ranges: Sequence[tuple[Series, int, int]]) -> list[View]:
        """The records of each (series, first bucket, last bucket), as far as the rings reach back."""
        return self._rings.read_many(ranges)

    def read(self, series: Series, first_s: int, last_s: int) -> View:
        """The records of the buckets from `first_s` to `last_s` (starts, inclusive)."""
        return self.read_many([(series, first_s, last_s)])[0]

    def read_rings(self, many: Sequence[Series]) -> Iterator[Ring]:
        """The whole ring of each series, much cheaper than `read_many`: the server only copies."""
        return self._rings.read_rings(many)

    def read_whole(self, series: Series, last_s: int) -> View:
        """All that is held of `series` up to the bucket `last_s`."""
        return next(self.read_rings([series])).view(series.timeframe.seconds, last_s)

    def doubt(self, ranges: Sequence[tuple[Series, int, int]], *, confirmed: bool = False) -> int:
        """Have REST asked for the closed candles of each (series, first bucket, last bucket) that it has not confirmed.

        `confirmed`: for those too that it has. Returns how many; they stay as they are until the answer comes.
        """
        marked = 0
        for some in batched(ranges, SERIES_A_CALL):
            args = [n for series, first_s, last_s in some for n in (series.timeframe.seconds, first_s, last_s)]
            marked += int(self._doubt(keys=[keys.candles(s) for s, _, _ in some], args=[*args, int(confirmed)]))
        return marked

    def reach_back(self, series: Series, origin_s: int, last_s: int) -> None:
        """Make room for every bucket from `origin_s` to `last_s` and move the origin there."""
        buckets = (last_s - origin_s) // series.timeframe.seconds + 2
        self._grow(
            keys=[keys.candles(series)],
            args=[series.timeframe.seconds, max(buckets, self._capacity), origin_s],
        )


def _payload(series: Series, row: tuple[Any, ...]) -> bytes:
    """What is told of the candle that `row` holds, as JSON."""
    start_s, flags, _, opened, high, low, close, volume = row
    return orjson.dumps(
        {
            "exchange": series.exchange,
            "product": series.product,
            "timeframe": series.timeframe,
            "start": start_s,
            "open": opened,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
            "trades": not flags & EMPTY,
            "state": _LABELS[flags & STATE_MASK],
        }
    )


def _split(writes: Sequence[Write], codes: list[int], befores: list[Any]) -> Iterable[Written]:
    """What became of each of `writes`, from the script's answer."""
    replaced = {number: np.frombuffer(raw, RECORD) for number, raw in zip(befores[::2], befores[1::2], strict=True)}
    at = 0
    for series, records, _ in writes:
        outcomes = [_OUTCOMES[code] for code in codes[at : at + len(records)]]
        before = {i: replaced[at + i] for i in range(len(records)) if at + i in replaced} if replaced else {}
        yield Written(series, records, outcomes, before)
        at += len(records)
