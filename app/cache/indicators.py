"""The latest indicator value of each series, with the revision of the candles that it was computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson
from redis import Redis

from app.batches import batched
from app.cache import keys
from app.cache.candles import SERIES_A_CALL
from app.cache.scripts import script
from app.series import Series


class IndicatorValue(NamedTuple):
    """`data` is the JSON-able value of the newest bar, `start_s` that bar, `revision` that of its candles."""

    series: Series
    revision: int
    start_s: int
    data: dict[str, Any]


class IndicatorCache:
    def __init__(self, client: Redis, *, events_kept: int) -> None:
        self._client = client
        self._events_kept = events_kept
        self._write = script(client, "write_indicators")

    def write(self, values: Iterable[IndicatorValue]) -> int:
        """Store and publish each value unless one of the same or newer candles is there; returns how many were new."""
        return sum(self._write_some(some) for some in batched(values, SERIES_A_CALL))

    def _write_some(self, values: Sequence[IndicatorValue]) -> int:
        args: list[object] = [self._events_kept]
        for series, revision, start_s, data in values:
            name = f"{series.exchange}:{series.product}:{series.timeframe}"
            args += [revision, start_s, keys.indicator_channel(series), name, orjson.dumps(data)]
        return sum(self._write(keys=[keys.EVENTS, *(keys.indicator(v.series) for v in values)], args=args))

    def read_many(self, many: Sequence[Series]) -> list[IndicatorValue | None]:
        """The latest value of each series; None where none was computed."""
        with self._client.pipeline(transaction=False) as pipe:
            for series in many:
                pipe.hmget(keys.indicator(series), "revision", "start", "data")
            rows = pipe.execute()
        return [
            IndicatorValue(series, int(row[0]), int(row[1]), orjson.loads(row[2])) if row[2] else None
            for series, row in zip(many, rows, strict=True)
        ]

    def read_revisions(self, many: Sequence[Series]) -> list[int]:
        """The revision of the candles behind each latest value; 0 where none was computed."""
        with self._client.pipeline(transaction=False) as pipe:
            for series in many:
                pipe.hget(keys.indicator(series), "revision")
            return [int(raw or 0) for raw in pipe.execute()]
