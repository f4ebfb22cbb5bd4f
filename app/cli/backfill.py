"""Fetches the history of one series, through the same queue, budget and workers as every gap."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.context import Context
from app.errors import InvalidInput, Unready
from app.market.gaps import missing
from app.market.series import Series
from app.storage.queue import BackfillRequest, Kind, Priority
from app.storage.requests import Rules

MAX_BUCKETS = 200_000
"""Most candles that one series may keep: 11 MB in Redis."""

CHECK_EVERY_S = 0.25
NUDGE_EVERY_S = 5.0
"""How often work on the queue is requested while there is no progress."""

PATIENCE_S = 90.0
"""Real seconds without a new candle after which this command stops waiting; the request stays in the queue."""


def backfill(context: Context, series: Series, days: float) -> bool:
    """Extend `series` to `days` before the exchange's time; returns whether that succeeded.

    Raises `InvalidInput` if that is too far, `Unready` while the exchange's time is unknown.
    """
    wanted = _request(context, series, days)
    request = BackfillRequest(Kind.GAP, series.product, series.timeframe)
    reason = _wait(context, series, request, wanted)
    console = Console(stderr=reason is not None)
    console.print(f"{series}: {reason or f'complete for the last {days:g} days'}")
    return reason is None


def _request(context: Context, series: Series, days: float) -> range:
    """Make room for the history and queue the request; returns the wanted buckets."""
    clock = context.clock.read()
    if clock is None:
        raise Unready("the exchange's clock has not been received yet: is an ingest process running?")
    timeframe = series.timeframe
    newest_s = _rules(context).newest_requested(timeframe, clock.exchange_s)
    first_s = timeframe.bucket(clock.exchange_s - days * 86_400)
    _check(series, days, (newest_s - first_s) // timeframe.seconds)
    context.candles.reach_back(series, first_s, newest_s)
    context.queue.add([(BackfillRequest(Kind.GAP, series.product, timeframe), Priority.HISTORY)], anew=True)
    context.tasks.drain()
    return range(first_s, newest_s + 1, timeframe.seconds)


def _check(series: Series, days: float, buckets: int) -> None:
    if buckets > MAX_BUCKETS:
        most = MAX_BUCKETS * series.timeframe.seconds // 86_400
        raise InvalidInput(f"--days {days:g} of {series.timeframe} are {buckets} candles; at most {most} days are kept")


def _wait(context: Context, series: Series, request: BackfillRequest, wanted: range) -> str | None:
    """Show how many candles are missing, until none are or no more will arrive; returns the reason in that case."""
    left = total = _left(context, series, wanted)
    moved_at = nudged_at = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(f"{series} candles", total=total)
        while left:
            time.sleep(CHECK_EVERY_S)
            before, left, now = left, _left(context, series, wanted), time.monotonic()
            progress.update(bar, completed=total - left)
            moved_at = now if left < before else moved_at
            if reason := _why_not(context, request, now - moved_at):
                return reason
            if now - max(moved_at, nudged_at) > NUDGE_EVERY_S:
                context.tasks.drain()
                nudged_at = now
    return None


def _left(context: Context, series: Series, wanted: range) -> int:
    """How many `wanted` buckets are missing, as far as the ring still reaches back and the exchange has them.

    Candles that close later do not count, nor those that they push out of the ring.
    """
    clock = context.clock.read()
    newest_s = max(wanted[-1], _rules(context).newest(series.timeframe, clock.exchange_s if clock else 0))
    view = context.candles.read_whole(series, newest_s)
    lost = missing(view.records, wanted.step, max(wanted[0], view.wanted_from_s(wanted.step)), wanted[-1])
    if view.origin.responses:  # none is before the origin: a second response only confirms it
        lost = lost[lost >= view.origin.start_s]
    return len(lost)


def _why_not(context: Context, request: BackfillRequest, still_s: float) -> str | None:
    """Why no more candles will arrive; None while they may."""
    if failure := context.queue.failures().get(request):
        return f"given up: {failure['reason']}"
    if still_s <= PATIENCE_S:
        return None
    if request not in context.queue.pending():
        return "not complete, and no longer in the queue: run this command again"
    return f"no candle received for {still_s:.0f} s: is a backfill worker running? The request stays in the queue"


def _rules(context: Context) -> Rules:
    return Rules(context.settings.close_grace_seconds, context.settings.settling_seconds)
