"""What can be said of one series from its newest candles and its indicator. Pure."""

from __future__ import annotations

from typing import NamedTuple

from app.cache.model import View
from app.series import Series
from app.settings import MIN_CANDLES
from app.status.model import SeriesStatus


class Latest(NamedTuple):
    """What an indicator says of its series: the start of its bar, how many candles it rests on, and if it is ready."""

    start_s: int
    candles: int
    ready: bool
    reason: str | None


class Seen(NamedTuple):
    """A series as it was read: its latest indicator, its newest candles where that does not say everything, and whether
    a request for it is pending.
    """

    series: Series
    view: View
    value: Latest | None
    pending: bool


def series_status(seen: Seen, now_s: float | None, settling_s: float) -> SeriesStatus:
    """`now_s`: the exchange's clock, None while it is not known."""
    newest = newest_closed(seen)
    step = seen.series.timeframe.seconds
    age_s = None if now_s is None or newest is None else max(0.0, round(now_s - newest - step, 3))
    ready, reason = _readiness(seen, newest)
    return SeriesStatus(
        product=seen.series.product,
        timeframe=seen.series.timeframe,
        candles=_candles(seen),
        newest=newest,
        age_seconds=age_s,
        ready=ready,
        stale=age_s is not None and age_s > 2 * step + settling_s,
        reason=reason,
    )


def newest_closed(seen: Seen) -> int | None:
    """Start of the newest closed bucket that is known of."""
    starts = [int(s) for s in seen.view.over["start_s"][-1:]] if len(seen.view.records) else []
    starts += [seen.value.start_s] if seen.value else []
    return max(starts, default=None)


def _candles(seen: Seen) -> int:
    return seen.value.candles if seen.value else len(seen.view.over)


def _readiness(seen: Seen, newest: int | None) -> tuple[bool, str | None]:
    """Whether the series is as ready as it can be, and what is to be said about it."""
    if seen.value and seen.value.ready:
        return True, None
    if not seen.view.origin_s:
        return False, "not asked for yet"
    since_origin = _buckets_since_origin(seen, newest)
    if not seen.pending and since_origin < MIN_CANDLES:
        return True, f"the exchange has only {since_origin} candles of it, an indicator needs {MIN_CANDLES}"
    if seen.value is None:
        return False, "its indicator is not computed yet"
    return False, seen.value.reason or "warming up"


def _buckets_since_origin(seen: Seen, newest: int | None) -> int:
    """How many buckets the exchange can have had, from the first that it is known to have had."""
    return 0 if newest is None else max(0, (newest - seen.view.origin_s) // seen.series.timeframe.seconds + 1)
