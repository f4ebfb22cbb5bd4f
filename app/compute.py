"""From touched buckets to aggregates and indicators: what an indicator worker does with one batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from app.aggregate import aggregate, parents_of
from app.cache.candles import CandleCache
from app.cache.model import View, Write
from app.cache.indicators import IndicatorCache, IndicatorValue
from app.candles import State
from app.gaps import carried, contiguous_tail
from app.indicators.macdv import latest_values
from app.records import Records
from app.series import Series
from app.settings import WINDOW
from app.timeframes import BASE, Timeframe
from app.touched import Touched, touched_by


class Computer:
    """Reads and writes candles and indicators of one exchange. Calling it twice with the same work changes nothing."""

    def __init__(
        self, candles: CandleCache, indicators: IndicatorCache, exchange: str, timeframes: Sequence[Timeframe]
    ) -> None:
        self._candles = candles
        self._indicators = indicators
        self._exchange = exchange
        self._targets = [t for t in timeframes if t.contains(BASE)]
        self._timeframes = frozenset(timeframes)

    def update(self, touched: Iterable[Touched], now_s: float) -> int:
        """Bring everything that rests on the touched buckets up to date; returns how many indicators are new.

        `now_s` is exchange time; it bounds what is read, not what counts as closed.
        """
        touched = [t for t in touched if t.timeframe in self._timeframes]
        base = [t for t in touched if t.timeframe == BASE]
        touched += self._carry(base)
        touched += self._aggregate(base)
        return self._compute({Series(self._exchange, t.product, t.timeframe) for t in touched}, now_s)

    def _carry(self, base: Sequence[Touched]) -> list[Touched]:
        """Empty buckets behind a corrected candle carry its new close."""
        reach = WINDOW * BASE.seconds
        views = self._read_base(base, lambda t: (t.first_s, t.last_s + reach))
        writes = [
            Write(Series(self._exchange, t.product, BASE), records)
            for t, view in zip(base, views, strict=True)
            if len(records := carried(view.over, BASE))
        ]
        return touched_by(self._candles.write(writes))

    def _aggregate(self, base: Sequence[Touched]) -> list[Touched]:
        """Write the longer candles that became complete, or changed."""
        if not self._targets:
            return []
        longest = max(self._targets, key=lambda t: t.seconds)
        views = self._read_base(
            base, lambda t: (longest.bucket(t.first_s), longest.bucket(t.last_s) + longest.seconds - BASE.seconds)
        )
        writes = []
        for t, view in zip(base, views, strict=True):
            children = np.arange(t.first_s, t.last_s + 1, BASE.seconds)
            for target in self._targets:
                parents = parents_of(children, target)
                records = aggregate(view.records, BASE, target, parents)
                if len(records):
                    writes.append(Write(Series(self._exchange, t.product, target), records))
        return touched_by(self._candles.write(writes))
