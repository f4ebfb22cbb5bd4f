"""The latest indicator value of each series, with the revision of its candles and the alerts that follow from it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from redis import Redis

from app.market.series import Series
from app.storage import keys
from app.storage.alert_changes import AlertChange, AlertCursor, Fingerprint
from app.storage.candles import SERIES_PER_CALL
from app.storage.entries import readable
from app.storage.scripts import Call, script
from app.util.batches import batched

SERIES_PER_READ = 500
"""Hashes read in one script call: about a millisecond of Redis' time."""


class IndicatorValue(NamedTuple):
    """`data` is the JSON-able value of the newest bar, `start_s` that bar, `revision` that of its candles.

    `change`: what follows for the alerts of the series; None where nobody watches them.
    `late_s`: the exchange time at which there may be closed candles that were not read; 0 where all were.
    """

    series: Series
    revision: int
    start_s: int
    data: dict[str, Any]
    change: AlertChange | None = None
    late_s: int = 0


class Stored(NamedTuple):
    """How many values were new, and how many messages of alerts now wait for delivery.

    `late`: the series of values that came too late, to be read again as of `now_s`, the exchange's time.
    """

    values: int
    messages: int
    late: list[Series]
    now_s: int


class IndicatorCache:
    def __init__(self, client: Redis, *, events_kept: int, alerts_kept: int = 10_000) -> None:
        self._client = client
        self._kept = (events_kept, alerts_kept)
        self._write = script(client, "write_indicators")
        self._read = script(client, "read_fields")

    def write(self, values: Iterable[IndicatorValue], now_s: float = 0) -> Stored:
        """Store and publish each value, with its alerts, unless one of the same or newer candles is there.

        `now_s`: exchange time. All values are of one exchange.
        """
        many = list(values)
        answers = self._write.run_pipelined(self._call(some, now_s) for some in batched(many, SERIES_PER_CALL))
        verdicts = [verdict for answer in answers for verdict in answer[:-1:2]]
        late = [value.series for value, verdict in zip(many, verdicts, strict=True) if verdict == _LATE]
        messages = sum(sum(answer[1:-1:2]) for answer in answers)
        return Stored(verdicts.count(_NEW), messages, late, answers[-1][-1] if answers else 0)

    def _call(self, values: Sequence[IndicatorValue], now_s: float) -> Call:
        """Keys and arguments of the script. Few of them: each takes as long to send as a price to compute."""
        used = dict.fromkeys(value.change.rules for value in values if value.change)
        sets = {rules: number for number, rules in enumerate(used, start=1)}
        rows = b"".join(_row(value, sets) for value in values)
        clock = keys.clock(values[0].series.exchange)
        named = [keys.EVENTS, keys.ALERTS, clock, *[keys.indicator(v.series) for v in values]]
        args: list[str | bytes | int] = [*self._kept, int(now_s), rows, "\n".join(sets)]
        args += [orjson.dumps(v.data) for v in values]
        for value in values:
            if value.change is not None:
                args += _arguments(value.change)
        return named, args

    def read_many(self, many: Sequence[Series]) -> list[IndicatorValue | None]:
        """The latest value of each series; None where none was computed."""
        rows = zip(many, self._fields(many, "revision", "start", "data"), strict=True)
        return [next(iter(readable("indicator values", [row], _value)), None) if row[1][2] else None for row in rows]

    def read_json(self, many: Sequence[Series]) -> list[bytes]:
        """The data of the latest value of each series as it is stored; empty where none was computed."""
        return [data for (data,) in self._fields(many, "data")]

    def read_revisions(self, many: Sequence[Series]) -> list[int]:
        """The revision of the candles behind each latest value; 0 where none was computed."""
        return [int(revision or 0) for (revision,) in self._fields(many, "revision")]

    def read_cursors(self, many: Sequence[Series]) -> list[AlertCursor | None]:
        """How far the alerts of each series have come; None where they were never looked at."""
        rows = self._fields(many, "baseline", "evaluated", "pending", "first", "old", "recent")
        return [_cursor(row) if row[0] else None for row in rows]

    def _fields(self, many: Sequence[Series], *names: str) -> Iterator[tuple[bytes, ...]]:
        """Fields of the hash of each series, empty where they are missing."""
        parts = [(some, names) for some in batched(map(keys.indicator, many), SERIES_PER_READ)]
        for flat in self._read.run_pipelined(parts):
            yield from zip(*(flat[i :: len(names)] for i in range(len(names))), strict=True)


_NEW, _LATE = 1, 2
"""What the script says of a value."""

_ROW = struct.Struct("<Q14I")
_NO_CURSOR = (0,) * 11


def _value(row: tuple[Series, tuple[bytes, ...]]) -> IndicatorValue:
    series, (revision, start_s, data) = row
    return IndicatorValue(series, int(revision), int(start_s), orjson.loads(data))


def _row(value: IndicatorValue, sets: Mapping[str, int]) -> bytes:
    """The numbers of a series as the script takes them. `sets`: numbers of the sets of rules."""
    change = value.change
    if change is None:
        return _ROW.pack(value.revision, value.start_s, value.late_s, 0, *_NO_CURSOR)
    *starts, fingerprint = change.cursor
    counts = (len(change.judged), len(change.alerts), len(change.verdicts))
    numbers = (*starts, *fingerprint, change.is_first, sets[change.rules], *counts)
    return _ROW.pack(value.revision, value.start_s, value.late_s, 1, *numbers)


def _cursor(row: Sequence[bytes]) -> AlertCursor:
    """The stored cursor of a series."""
    baseline_s, evaluated_s, pending_s, *fingerprint = map(int, row)
    return AlertCursor(baseline_s, evaluated_s, pending_s, Fingerprint(*fingerprint))


def _arguments(change: AlertChange) -> list[str | bytes | int]:
    """The bars judged, the alerts and the verdicts of a series as the script takes them."""
    flat: list[str | bytes | int] = [start_s for judged in change.judged for start_s in judged]
    for alert in change.alerts:
        data = orjson.dumps(alert.fact)
        flat += [alert.id, alert.start_s, alert.fact["end"], alert.event, data, ",".join(alert.channels)]
    for identity, holds in change.verdicts:
        flat += [identity, int(holds)]
    return flat
