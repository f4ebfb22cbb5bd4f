"""Requests missing candles from REST and writes those that the response proves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from app.backfill.interpret import PageResult, interpret, interpret_survey
from app.backfill.missing import Built, Gaps
from app.backfill.rest import Permitted
from app.backfill.scan import priority_of
from app.backfill.surveys import located, survey
from app.errors import Contradicted, ExchangeError, Refused, Throttled
from app.exchange.adapter import Page
from app.market.series import Series
from app.market.timeframes import BASE
from app.settings import Settings
from app.storage import mismatches
from app.storage.changed_ranges import ChangedRange, changed_ranges
from app.storage.model import Range, View
from app.storage.queue import BackfillRequest, Kind, Priority
from app.storage.requests import PageRequest, Rules, page_of_reconciliation
from app.storage.stores import Stores
from app.util.backoff import jittered_s

log = logging.getLogger(__name__)

TRIES = 8
"""Consecutive failures after which a request is given up until a scan finds its buckets still missing."""

SECOND_OPINIONS = 1
"""Immediate retries after a response that contradicts certain candles: another server may answer."""

MAX_DELAY_S = 60.0


class Filler:
    """Works on one request of the backfill queue at a time and writes its outcome to the queue."""

    def __init__(self, stores: Stores, settings: Settings, on_changes: Callable[[list[ChangedRange]], None]) -> None:
        self._stores = stores
        self._queue = stores.queue
        self._on_changes = on_changes
        self._rules = Rules(settings.close_grace_seconds, settings.settling_seconds)

    def next_page(self, request: BackfillRequest, exchange_ms: int) -> PageRequest | None:
        """The next page to request for `request`; None if there is nothing (more) to request."""
        gaps = self._gaps(request, exchange_ms)
        if request.kind is Kind.RECONCILE:
            return page_of_reconciliation(request.timeframe, exchange_ms / 1000) if gaps.view.revision else None
        return gaps.next_page()

    def work(
        self, request: BackfillRequest, requested: PageRequest, exchange_ms: int, permit: Permitted
    ) -> PageRequest | None:
        """Request `requested` and write the candles that the response proves; returns the follow-up page, or None.

        `exchange_ms`: the exchange's time, not later than the moment of the request. Raises `ExchangeError`.
        """
        series = request.series(self._stores.exchange)
        reason = "start" if requested.initial else str(request.kind)
        page = permit.request(
            reason, lambda rest: rest.candles(series.product, requested.timeframe, requested.first_s, requested.last_s)
        )
        gaps = self._gaps(request, exchange_ms)
        follows = None
        if requested.timeframe != series.timeframe:
            follows = located(gaps, requested, page)
        elif request.kind is Kind.GAP:
            follows = survey(gaps, requested, page)
        try:
            self._write(request, series, requested, page, gaps, exchange_ms)
        except Contradicted:
            if self._queue.attempts(request) < SECOND_OPINIONS:
                raise
            follows = None  # the rest waits, as after any response that does not cover it
        if request.kind is Kind.GAP:
            self._queue.note_uncovered(request, self._gaps(request, exchange_ms).still_uncovered(requested))
        return follows

    def failed(self, request: BackfillRequest, error: ExchangeError, exchange_ms: int) -> None:
        """Postpone, give up or retry `request`, which ended with `error`."""
        if isinstance(error, Throttled):
            pause_s = self._stores.budget.state().paused_s
            log.warning("rate limited by the exchange: all workers pause for %.1f s (%s)", pause_s, error)
            self._queue.postpone(request, exchange_ms)
        elif isinstance(error, Refused):
            self._queue.fail(request, str(error), exchange_ms)
            log.error("%s %s: given up: %s", request.product, request.timeframe, error)
        else:
            self._try_again(request, str(error), exchange_ms)

    def release(self, request: BackfillRequest, exchange_ms: int) -> None:
        """Release `request`: the rest of it waits for its turn, or until it has settled."""
        if request.kind is Kind.RECONCILE:
            self._queue.done(request)
            return
        gaps = self._gaps(request, exchange_ms)
        due_s = gaps.due_s()
        if due_s is None:
            self._queue.done(request)
        else:
            self._queue.settle(request, max(exchange_ms, int(due_s * 1000)), priority_of(gaps))

    def _gaps(self, request: BackfillRequest, exchange_ms: int) -> Gaps:
        """The gaps in the series of `request`, read now."""
        series, now_s = request.series(self._stores.exchange), exchange_ms / 1000
        newest_s = self._rules.newest(series.timeframe, now_s)
        view = self._stores.candles.read_whole(series, newest_s)
        (uncovered,) = self._queue.uncovered([request._replace(kind=Kind.GAP)])
        return Gaps(view, series.timeframe, now_s, self._rules, uncovered, self._built(series, view, now_s))

    def _built(self, series: Series, view: View, now_s: float) -> Built | None:
        """Buckets of a longer series built from 5m candles; None if it was never requested."""
        if not series.timeframe.contains(BASE) or not view.revision:
            return None
        base = self._stores.candles.read_whole(series.at(BASE), self._rules.newest(BASE, now_s))
        (uncovered,) = self._queue.uncovered([BackfillRequest(Kind.GAP, series.product, BASE)])
        return Built.from_base(Gaps(base, BASE, now_s, self._rules, uncovered), series.timeframe)

    def _write(
        self, request: BackfillRequest, series: Series, requested: PageRequest, page: Page, gaps: Gaps, exchange_ms: int
    ) -> None:
        is_survey = requested.timeframe != series.timeframe
        disputed = self._stores.disputes.read(series)
        proves = interpret_survey if is_survey else interpret
        result = proves(series, requested, page, gaps.view, disputed, exchange_ms, self._rules)
        if len(disputed) or len(result.disputed):
            self._dispute(series, result, exchange_ms)
        if not result.is_trusted:
            raise Contradicted(f"the response contradicts {len(result.disputed)} known candles of {series}")
        self._mark_provisional(series, requested, result, gaps.view, exchange_ms)
        is_history = bool(len(gaps.traded)) and requested.last_s <= int(gaps.traded[0])
        written = self._stores.candles.write([result.write], announce=not (requested.initial or is_history))
        if not is_survey:
            mismatches.record(self._stores.redis, written, cause=str(request.kind), exchange_ms=exchange_ms)
            if series.timeframe == BASE:
                self._stores.trust.learn(written)
        if changed := changed_ranges(written):
            self._on_changes(changed)

    def _dispute(self, series: Series, result: PageResult, exchange_ms: int) -> None:
        """Store REST's claims against certain candles; these stay, provisional, until another response agrees."""
        self._stores.disputes.write(series, result.disputed)
        starts = result.disputed["start_s"].tolist()
        if self._mark(series, [(start_s, start_s) for start_s in starts], exchange_ms):
            log.warning("%s: REST contradicts %d candles; requested again in 15 minutes", series, len(starts))

    def _mark_provisional(
        self, series: Series, requested: PageRequest, result: PageResult, view: View, exchange_ms: int
    ) -> None:
        """Run before a correction is written: if this process exits in between, a scan finds the marks or the error."""
        # Candles that the response only omits wait for their turn, or short responses would cause a loop.
        is_overruled = bool(len(result.overruled))
        if self._mark(series, result.provisional_ranges(requested, view), exchange_ms, anew=is_overruled):
            says = "contradicts" if is_overruled else "no longer returns"
            log.warning("%s: REST %s candles that it confirmed: requesting all doubtful ones again", series, says)

    def _mark(self, series: Series, ranges: Sequence[tuple[int, int]], exchange_ms: int, *, anew: bool = False) -> bool:
        """Mark `ranges` (first and last bucket) as provisional, confirmed candles too; returns whether that is new.

        Marked candles are requested again (`anew`: at once), and the newest value of the series is updated.
        """
        if not self._stores.candles.mark_provisional([Range(series, *range_) for range_ in ranges], confirmed=True):
            return False
        self._queue.add([(BackfillRequest(Kind.GAP, series.product, series.timeframe), Priority.GAP)], anew=anew)
        newest_s = self._rules.newest(series.timeframe, exchange_ms / 1000)
        self._on_changes([ChangedRange(series.product, series.timeframe, newest_s, newest_s)])
        return True

    def _try_again(self, request: BackfillRequest, reason: str, exchange_ms: int) -> None:
        tries = self._queue.attempts(request) + 1
        if tries >= TRIES:
            self._queue.fail(request, f"{reason} ({tries} tries)", exchange_ms)
            log.error("%s %s: given up after %d tries: %s", request.product, request.timeframe, tries, reason)
            return
        delay_s = jittered_s(tries, first_s=1.0, max_s=MAX_DELAY_S)
        self._queue.retry(request, delay_s)
        log.warning("%s %s: %s; retrying in %.1f s", request.product, request.timeframe, reason, delay_s)
