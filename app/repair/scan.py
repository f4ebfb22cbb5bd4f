"""Looks for everything that was missed: the sure way, where events are the fast one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.batches import batched
from app.cache.model import View
from app.context import Context
from app.continuity import recarried
from app.repair.needs import Rules, Starts, lacking
from app.repair.queue import Kind, Request, Why
from app.series import Series
from app.timeframes import BASE, Timeframe
from app.touched import Touched

log = logging.getLogger(__name__)

FAILED_FOR_MS = 3_600_000
"""A request that was given up is tried again after this much exchange time."""

PRODUCTS_A_READ = 32


class Found(NamedTuple):
    """What a scan found of one series. `buckets`: how many closed candles it lacks."""

    series: Series
    buckets: int
    request: tuple[Request, Why, int | None] | None = None
    touched: Touched | None = None


class Scanner:
    """One pass over every series of an exchange."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._timeframes = context.settings.timeframes
        self._rules = Rules(context.settings.close_grace_seconds, context.settings.settling_seconds)

    def scan(self, exchange_ms: int) -> list[Found]:
        """Everything that is missing or out of date at `exchange_ms`; asks for nothing by itself."""
        given_up = {
            request
            for request, failure in self._context.queue.failures().items()
            if exchange_ms - failure["exchange_ms"] < FAILED_FOR_MS
        }
        found: list[Found] = []
        for products in batched(self._context.products.delivered(), PRODUCTS_A_READ):
            found += self._scan_some(products, exchange_ms)
        return [f for f in found if f.request is None or f.request[0] not in given_up]

    def _scan_some(self, products: list[str], exchange_ms: int) -> Iterator[Found]:
        now_s = exchange_ms / 1000
        many = [Series(self._context.exchange, p, t) for p in products for t in self._timeframes]
        views = self._context.candles.read_rings([(s, self._rules.newest(s.timeframe, now_s)) for s in many])
        values = self._context.indicators.read_revisions(many)
        base = {s.product: v for s, v in zip(many, views, strict=True) if s.timeframe == BASE}
        for series, view, computed in zip(many, views, values, strict=True):
            yield from self._look_at(series, view, base[series.product], now_s)
            if view.revision > computed and len(view.over):
                newest = int(view.over["start_s"][-1])
                yield Found(series, 0, touched=Touched(series.product, series.timeframe, newest, newest))

    def _look_at(self, series: Series, view: View, base: View, now_s: float) -> Iterator[Found]:
        product, timeframe = series.product, series.timeframe
        request = Request(Kind.GAP, product, timeframe)
        if not view.origin_s:
            yield Found(series, 0, request=(request, Why.START, None))
            return
        lost = lacking(view, timeframe, now_s, self._rules)
        if timeframe.contains(BASE) and len(lost):
            buildable = built_from(lost, base, timeframe)
            if len(ready := lost[buildable]):
                yield Found(series, len(ready), touched=children_of(product, ready, timeframe))
            lost = lost[~buildable & (lost < base.origin_s)]
        if len(lost):
            settles_ms = int(self._rules.settles_s(timeframe, int(lost[0])) * 1000)
            later = settles_ms if settles_ms > now_s * 1000 else None
            yield Found(series, len(lost), request=(request, Why.GAP, later))
        if timeframe == BASE and len(stale := recarried(view.over, BASE)):
            first, last = int(stale["start_s"][0]), int(stale["start_s"][-1])
            yield Found(series, len(stale), touched=Touched(product, BASE, first, last))


def built_from(parents: Starts, base: View, timeframe: Timeframe) -> npt.NDArray[np.bool_]:
    """Which of `parents` (bucket starts of `timeframe`) have every 5m candle in `base`, as a boolean array."""
    starts = base.over["start_s"].astype(np.int64)
    first = np.searchsorted(starts, parents)
    last = np.searchsorted(starts, parents + timeframe.seconds)
    built: npt.NDArray[np.bool_] = last - first == timeframe.seconds // BASE.seconds
    return built


def children_of(product: str, parents: Starts, timeframe: Timeframe) -> Touched:
    """The 5m buckets of `parents`."""
    return Touched(product, BASE, int(parents[0]), int(parents[-1]) + timeframe.seconds - BASE.seconds)
