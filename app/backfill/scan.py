"""Finds everything that events missed: events are fast, scans are reliable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.backfill.missing import Built, Gaps
from app.market.carry_forward import updated_empty_candles
from app.market.gaps import Starts
from app.market.records import CLOSED, CONFIRMED, EMPTY, PROVISIONAL, STATE_MASK, state_of
from app.market.series import Series
from app.market.timeframes import BASE, Timeframe
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.model import Ring, View
from app.storage.queue import BackfillRequest, Kind, Priority
from app.storage.requests import PAGE, Rules, Uncovered
from app.storage.stores import Stores
from app.util.batches import batched

log = logging.getLogger(__name__)

FAILED_FOR_MS = 3_600_000
"""Exchange time after which a request that was given up is retried."""

PRODUCTS_PER_READ = 32


class Due(NamedTuple):
    """A request to queue. `not_before_ms`: exchange time until which it must wait."""

    request: BackfillRequest
    priority: Priority
    not_before_ms: int | None


class Found(NamedTuple):
    """Result of a scan of one series. `buckets`: number of missing closed candles."""

    series: Series
    buckets: int
    due: Due | None = None
    changed: ChangedRange | None = None


class Scanner:
    """Scans every series of an exchange."""

    def __init__(self, stores: Stores, settings: Settings) -> None:
        self._stores = stores
        self._timeframes, self._capacity = settings.timeframes, settings.series_capacity
        self._rules = Rules(settings.close_grace_seconds, settings.settling_seconds)

    def scan(self, exchange_ms: int) -> list[Found]:
        """Find everything missing or out of date at `exchange_ms`; requests nothing."""
        given_up = {
            request
            for request, failure in self._stores.queue.failures().items()
            if abs(exchange_ms - failure["exchange_ms"]) < FAILED_FOR_MS
        }
        found: list[Found] = []
        for products in batched(self._stores.products.delivered(), PRODUCTS_PER_READ):
            found += self._scan_some(products, exchange_ms)
        return [f for f in found if f.due is None or f.due.request not in given_up]

    def _scan_some(self, products: list[str], exchange_ms: int) -> Iterator[Found]:
        now_s = exchange_ms / 1000
        many = [Series(self._stores.exchange, p, t) for p in products for t in self._timeframes]
        rings = self._rings(many)
        computed = self._stores.indicators.read_revisions(many)
        unclear = [series for series in many if not self._is_complete(rings[series], series.timeframe, now_s)]
        uncovered = self._uncovered(unclear)
        gaps_of = cache(partial(self._gaps, rings, uncovered, now_s))
        for (series, ring), revision in zip(rings.items(), computed, strict=True):
            newest = self._rules.newest(series.timeframe, now_s)
            if series in uncovered:
                yield from self._look_at(series, gaps_of)
            if ring.revision > revision:
                start = newest if series not in uncovered else _newest(ring.view(series.timeframe.seconds, newest))
                if start:
                    yield Found(series, 0, changed=ChangedRange(series.product, series.timeframe, start, start))

    def _rings(self, many: list[Series]) -> dict[Series, Ring]:
        """The ring of each series, grown to the settings' capacity if they changed since it was made."""
        rings = dict(zip(many, self._stores.candles.read_rings(many), strict=True))
        if small := [s for s, ring in rings.items() if len(ring.slots) < self._capacity]:
            self._stores.candles.grow(small)
            rings |= zip(small, self._stores.candles.read_rings(small), strict=True)
        return rings

    def _is_complete(self, ring: Ring, timeframe: Timeframe, now_s: float) -> bool:
        return bool(ring.revision) and is_complete(ring, timeframe.seconds, self._rules.newest(timeframe, now_s))

    def _uncovered(self, many: list[Series]) -> dict[Series, tuple[Uncovered, ...]]:
        requests = [BackfillRequest(Kind.GAP, series.product, series.timeframe) for series in many]
        return dict(zip(many, self._stores.queue.uncovered(requests), strict=True))

    def _gaps(
        self, rings: Mapping[Series, Ring], uncovered: Mapping[Series, tuple[Uncovered, ...]], now_s: float, one: Series
    ) -> Gaps:
        """The gaps of the series `one`."""
        timeframe = one.timeframe
        view = rings[one].view(timeframe.seconds, self._rules.newest(timeframe, now_s))
        return Gaps(view, timeframe, now_s, self._rules, uncovered.get(one, ()))

    def _look_at(self, series: Series, gaps_of: Callable[[Series], Gaps]) -> Iterator[Found]:
        product, timeframe, gaps = series.product, series.timeframe, gaps_of(series)
        if timeframe.contains(BASE) and gaps.view.revision:
            base = gaps_of(series.at(BASE))
            gaps = replace(gaps, built=Built.from_base(base, timeframe))
            every = gaps.missing
            if len(ready := every[built_from(every, base.view, timeframe)]):
                last_s = int(ready[-1]) + timeframe.seconds - BASE.seconds
                yield Found(series, len(ready), changed=ChangedRange(product, BASE, int(ready[0]), last_s))
        due_s = gaps.due_s()
        if due_s is not None:
            later = int(due_s * 1000) if due_s > gaps.now_s else None
            due = Due(BackfillRequest(Kind.GAP, product, timeframe), priority_of(gaps), later)
            yield Found(series, len(gaps.lost), due)
        if timeframe == BASE and len(stale := updated_empty_candles(gaps.view.over, BASE)):
            first, last = int(stale["start_s"][0]), int(stale["start_s"][-1])
            yield Found(series, len(stale), changed=ChangedRange(product, BASE, first, last))


def priority_of(gaps: Gaps) -> Priority:
    """The urgency of what is missing. A series starts until REST has answered, even if the stream has made its ring."""
    view = gaps.view
    if not (view.origin.responses or (state_of(view.records) == CONFIRMED).any()):
        return Priority.START
    return Priority.HISTORY if gaps.is_history else Priority.GAP


def _newest(view: View) -> int:
    """Start of the newest closed candle; 0 if there is none."""
    return int(view.over["start_s"][-1]) if len(view.over) else 0


def is_complete(ring: Ring, step: int, newest_s: int) -> bool:
    """Whether every bucket up to `newest_s` has a closed candle with trades that is not provisional, and is confirmed
    if no reconciliation reaches it.

    Reads the ring as stored, since most series are complete most of the time. A series whose origin must be checked
    again is not complete.
    """
    due = _due(len(ring.slots), step, newest_s)
    flags = ring.slots["flags"]
    held = (ring.slots["start_s"] == due) & ((flags & _DECISIVE) == CLOSED)
    held &= (due >= newest_s - (PAGE - 2) * step) | ((flags & STATE_MASK) == CONFIRMED)
    edge_s = newest_s - (len(ring.slots) - 3) * step
    return bool((held | (due < edge_s)).all())


_DECISIVE = CLOSED | EMPTY | PROVISIONAL
"""Bits of `flags` that show whether a candle is sure; closed and confirmed candles have the bit of `CLOSED`."""


@lru_cache(maxsize=64)
def _due(slots: int, step: int, newest_s: int) -> Starts:
    """The bucket that each slot of a ring should hold if `newest_s` is the newest."""
    buckets = newest_s // step - np.arange(slots)
    due = np.empty(slots, dtype=np.int64)
    due[buckets % slots] = buckets * step
    return due


def built_from(parents: Starts, base: View, timeframe: Timeframe) -> npt.NDArray[np.bool_]:
    """Which of `parents` (bucket starts of `timeframe`) have every 5m candle in `base`, as a boolean array."""
    starts = base.over["start_s"].astype(np.int64)
    first = np.searchsorted(starts, parents)
    last = np.searchsorted(starts, parents + timeframe.seconds)
    built: npt.NDArray[np.bool_] = last - first == timeframe.seconds // BASE.seconds
    return built
