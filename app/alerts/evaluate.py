"""From candles to alerts: reads the rules' input besides the newest window, and earlier alerts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from app.alerts.bars import ready_point
from app.alerts.engine import Evaluation, Finding, RuleEngine, event_at, window_at
from app.alerts.facts import alert_of, as_of
from app.alerts.fingerprint import LATE_BARS, SeriesHistory
from app.alerts.settings import AlertSettings
from app.indicators.macdv import MacdvPoint, MacdvSeries, macdv_of_many
from app.indicators.window import WINDOW
from app.market.aggregate import aggregate
from app.market.carry_forward import contiguous_tail
from app.market.records import Records
from app.market.series import Series
from app.market.timeframes import BASE, Timeframe
from app.storage.alert_changes import Alert, AlertChange, AlertCursor
from app.storage.alerts import AlertCache, StoredAlert
from app.storage.candles import CandleCache
from app.storage.model import Range
from app.util.batches import batched

MIN_EXTRA = 8
"""Bars read beyond a window, so that an open bar does not shorten it."""

OLD_BARS = 1_000
"""Bars whose stored alerts are verified again: usually as many as a ring holds. An alert may have been raised after a
gap, from few candles, and the installation may have stopped for days before the gap was filled."""

ALERTS_AT_ONCE = 16
"""Each needs the windows of four other timeframes."""


class SeriesSnapshot(NamedTuple):
    """A series with new candles: the closed ones, the values of the newest window, and the last evaluation.

    `begin_s`: the origin of the series; 0 if it is not proven.
    """

    series: Series
    records: Records
    values: MacdvSeries
    before: AlertCursor | None
    begin_s: int = 0


class Evaluator:
    """Evaluates an installation's rules on its candles. `version`: that of the rules; empty if they never change."""

    def __init__(
        self,
        candles: CandleCache,
        alerts: AlertCache,
        settings: AlertSettings,
        timeframes: Sequence[Timeframe],
        version: str = "",
    ) -> None:
        self.version = version
        self._candles = candles
        self._alerts = alerts
        self._engine = RuleEngine(settings)
        self._channels = tuple(settings.channels)
        self._timeframes = timeframes

    def extra(self, before: AlertCursor | None, timeframe: Timeframe, newest_s: int) -> int:
        """Number of bars to read beyond a window to evaluate every due bar."""
        late = 0 if before is None else (newest_s - before.pending_s) // timeframe.seconds
        return min(max(MIN_EXTRA, late + 2), LATE_BARS)

    def evaluate(self, snapshots: Sequence[SeriesSnapshot]) -> list[AlertChange | None]:
        """The alert changes of each series; None if it has no candle."""
        evaluations = [
            self._engine.evaluate(s.product, s.timeframe, records, values, before, begin_s) if len(records) else None
            for s, records, values, before, begin_s in snapshots
        ]
        verdicts = self._judge(snapshots, evaluations)
        alerts = self._alerts_of(
            (snapshot, finding)
            for snapshot, s in zip(snapshots, evaluations, strict=True)
            if s
            for finding in s.findings
        )
        return [
            self._change(snapshot, s, [next(alerts) for _ in s.findings], verdicts.get(i, [])) if s else None
            for i, (snapshot, s) in enumerate(zip(snapshots, evaluations, strict=True))
        ]

    def _change(
        self, snapshot: SeriesSnapshot, evaluation: Evaluation, alerts: list[Alert], verdicts: list[tuple[str, bool]]
    ) -> AlertChange:
        rules = self._engine.names_of(snapshot.series.product, snapshot.series.timeframe)
        return AlertChange(evaluation.cursor, snapshot.before is None, evaluation.judged, rules, alerts, verdicts)

    def _alerts_of(self, found: Iterable[tuple[SeriesSnapshot, Finding]]) -> Iterator[Alert]:
        for some in batched(found, ALERTS_AT_ONCE):
            yield from self._some_alerts_of(some)

    def _some_alerts_of(self, found: Sequence[tuple[SeriesSnapshot, Finding]]) -> Iterator[Alert]:
        points = self._as_of(
            [(snapshot.series, f.start_s + snapshot.series.timeframe.seconds) for snapshot, f in found]
        )
        windows = [window_at(snapshot.records, f.bar, snapshot.series.timeframe) for snapshot, f in found]
        values = macdv_of_many(windows)
        for (snapshot, finding), window, of_window, others in zip(found, windows, values, points, strict=True):
            point = ready_point(window, of_window)
            yield alert_of(finding, snapshot.series, window[-1], point, len(window), others, self._channels)

    def _as_of(self, moments: Sequence[tuple[Series, int]]) -> list[dict[Timeframe, MacdvPoint | None]]:
        """The newest point of every other timeframe of each product, as of an exchange time."""
        others = [[t for t in self._timeframes if t != series.timeframe] for series, _ in moments]
        asked = [
            Range(series.at(t), *as_of(t, end_s))
            for (series, end_s), each in zip(moments, others, strict=True)
            for t in each
        ]
        views = self._candles.read_many(asked)
        tails = [
            contiguous_tail(self._completed(series, last_s, view.over), series.timeframe)
            for (series, _, last_s), view in zip(asked, views, strict=True)
        ]
        points = (ready_point(tail, values) for tail, values in zip(tails, macdv_of_many(tails), strict=True))
        return [{t: next(points) for t in each} for each in others]

    def _completed(self, series: Series, last_s: int, records: Records) -> Records:
        """`records` up to the bucket `last_s`, with any that can be built: another worker may be writing them."""
        step = series.timeframe.seconds
        if not series.timeframe.contains(BASE) or not len(records):
            return records
        expected = np.arange(int(records["start_s"][0]), last_s + 1, step)
        if len(expected) == len(records):
            return records
        missing = np.setdiff1d(expected, records["start_s"])
        base = self._candles.read(series.at(BASE), int(missing[0]), last_s + step - BASE.seconds)
        return np.sort(np.concatenate([records, aggregate(base.records, BASE, series.timeframe, missing)]))

    def _judge(
        self, snapshots: Sequence[SeriesSnapshot], evaluations: Sequence[Evaluation | None]
    ) -> dict[int, list[tuple[str, bool]]]:
        """Whether the older alerts of each series whose history has changed still hold."""
        changed = [
            (i, Range(snapshot.series, s.done_s - OLD_BARS * snapshot.series.timeframe.seconds, s.done_s - 1))
            for i, (snapshot, s) in enumerate(zip(snapshots, evaluations, strict=True))
            if s and s.has_changed
        ]
        if not changed:
            return {}
        stored = self._alerts.of_series([range_ for _, range_ in changed])
        return {
            i: self._verdicts(range_.series, alerts)
            for (i, range_), alerts in zip(changed, stored, strict=True)
            if alerts
        }

    def _verdicts(self, series: Series, alerts: Sequence[StoredAlert]) -> list[tuple[str, bool]]:
        """Whether alerts still hold. No verdict, so no change, if the rule has changed, if candles are missing or
        provisional, or if another alert suppresses this one.
        """
        step, starts = series.timeframe.seconds, [alert.fact["start"] for alert in alerts]
        records = self._candles.read(series, starts[0] - WINDOW * step, starts[-1]).over
        bars = {int(start): bar for bar, start in enumerate(records["start_s"])}
        if not len(records):
            return []
        history = SeriesHistory(records, series.timeframe)
        verdicts = []
        for alert, start_s in zip(alerts, starts, strict=True):
            fact = alert.fact
            rule = self._engine.rule_of(series.product, series.timeframe, fact["rule"], fact["definition"])
            if rule is None or start_s not in bars or history.hold_back(start_s):
                continue
            window = window_at(records, bars[start_s], series.timeframe)
            if len(window) >= fact["candles"]:
                (values,) = macdv_of_many([window])
                newest_raised = self._engine.newest_raised(series.product, series.timeframe, window, values)
                if any((settings.name, event.name) == (fact["rule"], alert.event) for settings, event in newest_raised):
                    verdicts.append((alert.id, True))
                elif event_at(rule, window, values) != alert.event:
                    verdicts.append((alert.id, False))
        return verdicts
