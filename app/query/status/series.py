"""The status of one series, from its newest candles and its indicator. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from app.indicators.window import MIN_CANDLES
from app.market.candles import CandleState
from app.market.records import EMPTY, PROVISIONAL, state_of
from app.market.series import Series
from app.market.timeframes import BASE
from app.query.status.model import SeriesStatus
from app.storage.model import View
from app.storage.queue import Priority
from app.util.timestamps import format_utc

_UNDER_WAY: dict[Priority | None, str] = {
    Priority.GAP: "; the missing ones are being requested",
    Priority.HISTORY: "; older ones are being requested",
}

TAIL = 2
"""Newest buckets that may briefly be missing or provisional. With more missing, a series is out of date, unless it was
silent for as long before."""


class Latest(NamedTuple):
    """Facts from an indicator: the start of its bar, how many candles are behind it, and whether it is ready.

    `provisional`: how many of its newest candles are provisional.
    """

    start_s: int
    candles: int
    ready: bool
    reason: str | None
    provisional: int = 0

    @property
    def is_provisional(self) -> bool:
        """Whether more than the newest `TAIL`, which are soon requested, are provisional."""
        return self.provisional > TAIL


class SeriesFacts(NamedTuple):
    """A series as read: its latest indicator, its newest candles if the indicator is not enough, and the priority of
    the pending request for it, None if there is none.

    `begun_s`: the 5m bucket before which REST has shown no trade of the product; None if unknown.
    `refusal`: why requests for it were given up; None if none was.
    """

    series: Series
    view: View
    value: Latest | None
    pending: Priority | None
    begun_s: int | None = None
    refusal: str | None = None


def series_status(seen: SeriesFacts, now_s: float | None, settling_s: float) -> SeriesStatus:
    """The status of a series. `now_s`: the exchange's clock, or None."""
    newest = newest_closed(seen)
    step = seen.series.timeframe.seconds
    age_s = None if now_s is None or newest is None else max(0.0, round(now_s - newest - step, 3))
    ready, starting, reason = _readiness(seen, newest, now_s, settling_s)
    patience_s = step * max(TAIL, _longest_silence(seen.view)) + settling_s
    stale = age_s is not None and age_s > patience_s
    if stale and newest is not None:
        reason = f"no candle since {format_utc(newest + step)} UTC" + (f": {seen.refusal}" if seen.refusal else "")
    return SeriesStatus(
        product=seen.series.product,
        timeframe=seen.series.timeframe,
        candles=seen.value.candles if seen.value else len(seen.view.over),
        newest=newest,
        age_seconds=age_s,
        ready=ready,
        starting=starting,
        stale=stale,
        reason=reason,
    )


def newest_closed(seen: SeriesFacts) -> int | None:
    """Start of the newest known closed bucket, or None."""
    starts = [int(s) for s in seen.view.over["start_s"][-1:]] if len(seen.view.records) else []
    starts += [seen.value.start_s] if seen.value else []
    return max(starts, default=None)


def _readiness(
    seen: SeriesFacts, newest: int | None, now_s: float | None, settling_s: float
) -> tuple[bool, bool, str | None]:
    """Whether the series is as ready as possible, whether it is still starting, and the reason or None."""
    value, step, begin_s = seen.value, seen.series.timeframe.seconds, _begin_s(seen)
    if value and value.is_provisional and value.provisional > _longest_silence(seen.view):
        return False, False, f"its newest {value.provisional} candles are provisional: waiting for REST to confirm them"
    if value and value.ready:
        return True, False, None
    if value and value.candles >= MIN_CANDLES:
        return True, False, value.reason
    if seen.refusal is not None:
        return False, False, f"requests for it are given up: {seen.refusal}"
    if not seen.view.revision:
        return False, True, "not requested yet"
    if newest is None:
        if begin_s is not None and now_s is not None and 0 <= now_s - begin_s < (1 + TAIL) * step + settling_s:
            return True, False, "no candle has closed yet"
        return False, False, "the exchange has not reported a trade yet; requested again"
    since_begin = 0 if begin_s is None else (newest - begin_s) // step + 1
    if 0 < since_begin < MIN_CANDLES:
        return True, False, f"the exchange has only {since_begin} candles, an indicator needs {MIN_CANDLES}"
    if value is None:
        return False, True, "its indicator is not computed yet"
    pending = seen.pending
    if pending is Priority.START and seen.series.timeframe.contains(BASE):
        pending = Priority.HISTORY  # its candles were built from shorter ones
    reason = (value.reason or "warming up") + _UNDER_WAY.get(pending, "")
    return False, pending is Priority.START, reason


def _begin_s(seen: SeriesFacts) -> int | None:
    """The bucket in which the series begins; None if no response has shown it.

    A response shows it only after the first bucket has ended: for 1d, after a day.
    """
    origin, timeframe = seen.view.origin, seen.series.timeframe
    if origin.responses and origin.start_s:
        return origin.start_s
    return None if seen.begun_s is None else timeframe.bucket(seen.begun_s)


def _longest_silence(view: View) -> int:
    """The longest run of buckets confirmed as empty: a series may be silent for this long."""
    empty = ((view.records["flags"] & (EMPTY | PROVISIONAL)) == EMPTY) & (
        state_of(view.records) == CandleState.CONFIRMED
    )
    ends = np.flatnonzero(np.diff(np.concatenate(([False], empty, [False])).astype(np.int8)))
    return int((ends[1::2] - ends[::2]).max(initial=0))
