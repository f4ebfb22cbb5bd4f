"""From touched buckets to aggregates, indicators and alerts: what an indicator worker does with one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from app.aggregate import aggregate_many, parents_of
from app.alerts.evaluate import Evaluator, Look
from app.alerts.watch import Watched
from app.cache.candles import CandleCache
from app.cache.indicators import IndicatorCache, IndicatorValue
from app.cache.model import View, Write
from app.continuity import contiguous_tail, recarried
from app.indicators.latest import latest_values
from app.indicators.macdv import macdv_of_many
from app.series import Series
from app.settings import WINDOW
from app.timeframes import BASE, Timeframe
from app.touched import Touched, touched_by


class Computer:
    """Reads and writes candles and indicators of one exchange. Doing the same work twice changes nothing.

    `evaluator` looks for alerts, if there is one; `on_messages` is told how many of theirs now wait for delivery.
    """

    def __init__(
        self,
        candles: CandleCache,
        indicators: IndicatorCache,
        exchange: str,
        timeframes: Sequence[Timeframe],
        evaluator: Evaluator | None = None,
        on_messages: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._evaluator = evaluator
        self._on_messages = on_messages
        self._candles = candles
        self._indicators = indicators
        self._exchange = exchange
        self._longer = [t for t in timeframes if t.contains(BASE)]
        self._timeframes = frozenset(timeframes)

    def update(self, touched: Iterable[Touched], now_s: float) -> int:
        """Bring all that rests on the touched buckets up to date; returns how many indicators are new.

        `now_s` is exchange time; it bounds what is read, not what counts as closed.
        """
        touched = [t for t in touched if t.timeframe in self._timeframes]
        base = [t for t in touched if t.timeframe == BASE]
        views = self._views(base, now_s)
        if carried := self._carry(base, views):
            touched += carried
            base += carried
            views = self._views(base, now_s)
        touched += self._aggregate(base, views, now_s)
        return self._compute(dict.fromkeys(Series(self._exchange, t.product, t.timeframe) for t in touched), now_s)

    def _views(self, base: Sequence[Touched], now_s: float) -> list[View]:
        """The 5m candles of every longer bucket that was touched and can be complete, with the bucket before the first.

        Behind what was touched, up to the end of the longest bucket: empty ones there may have to carry another close.
        """
        longest = max((t for t in self._longer), key=lambda t: t.seconds, default=BASE)
        newest_s = BASE.bucket(now_s)
        return self._candles.read_many(
            [
                (
                    Series(self._exchange, t.product, BASE),
                    min([t.first_s - BASE.seconds, *(longer.bucket(t.first_s) for longer in self._ended(t, now_s))]),
                    min(longest.bucket(t.last_s) + longest.seconds - BASE.seconds, max(newest_s, t.last_s)),
                )
                for t in base
            ]
        )

    def _ended(self, touched: Touched, now_s: float) -> list[Timeframe]:
        """The longer timeframes of which a touched bucket may be over.

        Its last child may be in the cache before the clock says so: one bucket of 5m is far more than it can be late.
        """
        first_s, latest_s = touched.first_s, now_s + BASE.seconds
        return [longer for longer in self._longer if longer.bucket(first_s) + longer.seconds <= latest_s]

    def _carry(self, base: Sequence[Touched], views: Sequence[View]) -> list[Touched]:
        """Empty buckets behind a corrected candle carry its new close. What is beyond the views, the scan finds."""
        writes = [
            Write(Series(self._exchange, t.product, BASE), records)
            for t, view in zip(base, views, strict=True)
            if len(records := recarried(view.over, BASE))
        ]
        return touched_by(self._candles.write(writes))

    def _aggregate(self, base: Sequence[Touched], views: Sequence[View], now_s: float) -> list[Touched]:
        """Write the longer candles that became complete, or changed."""
        ended = [self._ended(t, now_s) for t in base]
        writes = []
        for longer in self._longer:
            due = [i for i, timeframes in enumerate(ended) if longer in timeframes]
            parents = [parents_of(np.arange(base[i].first_s, base[i].last_s + 1, BASE.seconds), longer) for i in due]
            built = aggregate_many([views[i].records for i in due], BASE, longer, parents)
            writes += [
                Write(Series(self._exchange, base[i].product, longer), records)
                for i, records in zip(due, built, strict=True)
                if len(records)
            ]
        return touched_by(self._candles.write(writes))

    def _compute(self, many: Iterable[Series], now_s: float) -> int:
        """Compute and store the indicator of each series from its newest candles without a hole, with its alerts."""
        many = list(many)
        watched = self._indicators.read_watched(many) if self._evaluator else [None] * len(many)
        ranges = [self._range(s, before, s.timeframe.bucket(now_s)) for s, before in zip(many, watched, strict=True)]
        views = self._candles.read_many(ranges)
        closed = [view.over for view in views]
        tails = [contiguous_tail(records, s.timeframe)[-WINDOW:] for s, records in zip(many, closed, strict=True)]
        computed = macdv_of_many(tails)
        values = latest_values(tails, [s.timeframe for s in many], computed)
        looks = [Look(*look) for look in zip(many, closed, computed, watched, strict=True)]
        changes = self._evaluator.evaluate(looks) if self._evaluator else [None] * len(many)
        stored = self._indicators.write(
            (
                IndicatorValue(series, view.revision, value["start"], _named(series, value), change)
                for series, view, value, change in zip(many, views, values, changes, strict=True)
                if value
            ),
            now_s,
        )
        if stored.messages:
            self._on_messages(stored.messages)
        return stored.values

    def _range(self, series: Series, watched: Watched | None, newest_s: int) -> tuple[Series, int, int]:
        """The buckets to read: a window, and what the alerts need beyond it."""
        extra = self._evaluator.extra(watched, series.timeframe, newest_s) if self._evaluator else 0
        return series, newest_s - (WINDOW + extra) * series.timeframe.seconds, newest_s


def _named(series: Series, value: dict[str, Any]) -> dict[str, Any]:
    return {"exchange": series.exchange, "product": series.product, "timeframe": series.timeframe, **value}
