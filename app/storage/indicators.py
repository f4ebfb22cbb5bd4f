"""The latest indicator value of each series, with the revision of its candles and its alerts."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

import orjson
from redis import Redis

from app.market.series import Series
from app.storage import keys
from app.storage.alert_changes import AlertChange, AlertCursor, Fingerprint
from app.storage.candles import SERIES_PER_CALL
from app.storage.entries import or_none
from app.storage.scripts import Call, script
from app.util.batches import batched
from app.wire.indicators import Indicator

SERIES_PER_READ = 500
"""Hashes per script call: about 1 ms of Redis' time."""


class IndicatorValue(NamedTuple):
    """`data`: value of the newest bar. `start_s`: that bar. `revision`: revision of its candles.

    `change`: change of the alerts of the series; None if no rule watches it.
    `late_s`: exchange time from which there may be closed candles that were not read; 0 if all were read.
    """

    series: Series
    revision: int
    start_s: int
    data: Indicator
    change: AlertChange | None = None
    late_s: int = 0


class Stored(NamedTuple):
    """Number of new values, and of alert messages that now wait for delivery.

    `late`: series whose values came too late, or whose alerts were evaluated by rules that are no longer in force; to
    be read again as of `now_s` (exchange time).
    """

    values: int
    messages: int
    late: list[Series]
    now_s: int


def indicator_of(data: bytes) -> Indicator:
    """The stored value in `data`."""
    return cast(Indicator, orjson.loads(data))


class IndicatorCache:
    def __init__(self, client: Redis, *, events_kept: int, alerts_kept: int = 10_000) -> None:
        self._client = client
        self._kept = (events_kept, alerts_kept)
        self._write = script(client, "write_indicators")
        self._read = script(client, "read_fields")

    def write(self, values: Iterable[IndicatorValue], now_s: float = 0, rules_version: str = "") -> Stored:
        """Store and publish each value with its alerts, unless a value of the same or newer candles is stored.

        `now_s`: exchange time. `rules_version`: of the rules that evaluated the alerts; empty if they never change. All
        values belong to one exchange.
        """
        many = list(values)
        answers = self._write.run_pipelined(
            self._call(some, now_s, rules_version) for some in batched(many, SERIES_PER_CALL)
        )
        verdicts = [verdict for answer in answers for verdict in answer[:-1:2]]
        late = [value.series for value, verdict in zip(many, verdicts, strict=True) if verdict == _LATE]
        messages = sum(sum(answer[1:-1:2]) for answer in answers)
        return Stored(verdicts.count(_NEW), messages, late, answers[-1][-1] if answers else 0)

    def _call(self, values: Sequence[IndicatorValue], now_s: float, rules_version: str) -> Call:
        """Keys and arguments of the script. They are few: sending one takes as long as computing a price."""
        used = dict.fromkeys(value.change.rules for value in values if value.change)
        sets = {rules: number for number, rules in enumerate(used, start=1)}
        rows = b"".join(_row(value, sets) for value in values)
        clock = keys.clock(values[0].series.exchange)
        named = [keys.EVENTS, keys.ALERTS, clock, keys.RULES, *[keys.indicator(v.series) for v in values]]
        args: list[str | bytes | int] = [*self._kept, int(now_s), rows, "\n".join(sets), rules_version]
        args += [orjson.dumps(v.data) for v in values]
        for value in values:
            if value.change is not None:
                args += _arguments(value.change)
        return named, args

    def read_many(self, many: Sequence[Series]) -> list[IndicatorValue | None]:
        """The latest value of each series; None if there is none."""
        read = or_none("indicator values", _value)
        rows = zip(many, self._fields(many, "revision", "start", "data"), strict=True)
        return [read(row) if row[1][2] else None for row in rows]

    def read_json(self, many: Sequence[Series]) -> list[bytes]:
        """The stored JSON of the latest value of each series; empty if there is none."""
        return [data for (data,) in self._fields(many, "data")]

    def read_revisions(self, many: Sequence[Series]) -> list[int]:
        """The candle revision of the latest value of each series; 0 if there is none."""
        return [int(revision or 0) for (revision,) in self._fields(many, "revision")]

    def read_cursors(self, many: Sequence[Series]) -> list[AlertCursor | None]:
        """The alert cursor of each series; None if it was never evaluated."""
        rows = self._fields(many, "baseline", "evaluated", "pending", "first", "old", "recent")
        return [_cursor(row) if row[0] else None for row in rows]

    def _fields(self, many: Sequence[Series], *names: str) -> Iterator[tuple[bytes, ...]]:
        """Fields of the hash of each series; empty if missing."""
        parts = [(some, names) for some in batched(map(keys.indicator, many), SERIES_PER_READ)]
        for flat in self._read.run_pipelined(parts):
            yield from zip(*(flat[i :: len(names)] for i in range(len(names))), strict=True)


_NEW, _LATE = 1, 2
"""Results of the script for a value."""

_ROW = struct.Struct("<Q14I")
_NO_CURSOR = (0,) * 11


def _value(row: tuple[Series, tuple[bytes, ...]]) -> IndicatorValue:
    series, (revision, start_s, data) = row
    return IndicatorValue(series, int(revision), int(start_s), indicator_of(data))


def _row(value: IndicatorValue, sets: Mapping[str, int]) -> bytes:
    """The packed numbers of a series for the script. `sets`: number of each set of rules."""
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
    """Bars judged, alerts and verdicts of a series, as arguments of the script."""
    flat: list[str | bytes | int] = [start_s for judged in change.judged for start_s in judged]
    for alert in change.alerts:
        data = orjson.dumps(alert.fact)
        flat += [alert.id, alert.start_s, alert.fact["end"], alert.event, data, ",".join(alert.channels)]
    for identity, holds in change.verdicts:
        flat += [identity, int(holds)]
    return flat
