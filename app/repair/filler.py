"""Asks REST for what a series lacks, and writes what the answer proves."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

from app.candles import UnifiedCandle
from app.context import Context
from app.errors import Refused, Throttled, Unavailable
from app.repair import mismatches
from app.repair.needs import Need, Proof, Rules, left_to_ask, need_of, page_of_reconciliation, prove
from app.repair.queue import Kind, Request, Why
from app.repair.tally import counted
from app.series import Series
from app.timeframes import BASE
from app.touched import Touched, touched_by

log = logging.getLogger(__name__)

TRIES = 8
"""Failures in a row after which a request is given up, until the next scan finds its buckets still missing."""

LONGEST_DELAY_S = 60.0

BELIEVED_AT = 2
"""Tries after which an answer is believed although it contradicts what was certain."""


class Filler:
    """Works on one request of the repair queue at a time; what becomes of it is written to the queue."""

    def __init__(self, context: Context, on_news: Callable[[list[Touched]], None]) -> None:
        self._context = context
        self._queue = context.queue
        self._on_news = on_news
        self._rules = Rules(context.settings.close_grace_seconds, context.settings.settling_seconds)

    def need(self, request: Request, exchange_ms: int) -> Need | None:
        """The next page that `request` stands for; None where there is nothing to ask (any more)."""
        series, now_s = request.series(self._context.exchange), exchange_ms / 1000
        newest = self._rules.newest(series.timeframe, now_s)
        view = self._context.candles.read_whole(series, newest)
        if request.kind is Kind.RECONCILE:
            return page_of_reconciliation(view, series.timeframe, self._rules.settled(series.timeframe, now_s))
        return need_of(view, series.timeframe, now_s, self._rules)

    def work(self, request: Request, need: Need, exchange_ms: int) -> bool:
        """Ask for `need`, one page, and write the answer; whether there was one. It needs a permit of the budget.

        `exchange_ms`: the exchange's time, not later than the moment of asking.
        """
        series = request.series(self._context.exchange)
        try:
            with counted(self._context.redis, "start" if need.seed else str(request.kind)):
                page = self._context.rest.candles(series.product, series.timeframe, need.first_s, need.last_s)
            self._write(request, series, need, page, exchange_ms)
            self.release(request, exchange_ms)
            return True
        except Throttled as error:
            pause_s = self._context.budget.pause(error.retry_after_s)
            self._queue.settle(request, exchange_ms)
            log.warning("%s: the exchange says that we ask too much: everybody pauses for %.1f s", series, pause_s)
        except Unavailable as error:
            self._try_again(request, str(error), exchange_ms)
        except Refused as error:
            self._queue.fail(request, str(error), exchange_ms)
            log.error("%s: given up: %s", series, error)
        return False

    def release(self, request: Request, exchange_ms: int) -> None:
        """Give `request` back: what is left of it waits for its turn, or until it has settled."""
        if request.kind is Kind.RECONCILE:
            self._queue.done(request)
            return
        series, now_s = request.series(self._context.exchange), exchange_ms / 1000
        newest = self._rules.newest(series.timeframe, now_s)
        view = self._context.candles.read_whole(series, newest)
        due_s = left_to_ask(view, series.timeframe, now_s, self._rules)
        # What the stream does not deliver is left to the scan, which asks for several buckets at once.
        is_streamed = series.timeframe.seconds >= BASE.seconds
        if due_s is None or (due_s > now_s and not is_streamed and view.origin_s):
            self._queue.done(request)
        else:
            self._queue.settle(request, max(exchange_ms, int(due_s * 1000)))

    def _write(self, request: Request, series: Series, need: Need, page: list[UnifiedCandle], exchange_ms: int) -> None:
        view = self._context.candles.read(series, need.first_s - series.timeframe.seconds, need.last_s)
        proof = prove(series, need, page, view, exchange_ms, self._rules)
        self._doubt(request, series, proof)
        if proof.reaches_back(need):
            self._doubt_before(series, need, view.origin_s)
        written = self._context.candles.write([proof.write], announce=not need.seed)
        mismatches.record(self._context.redis, written, cause=str(request.kind), exchange_ms=exchange_ms)
        if series.timeframe == BASE:
            self._context.trust.learn(written)
        if touched := touched_by(written):
            self._on_news(touched)

    def _doubt(self, request: Request, series: Series, proof: Proof) -> None:
        """One answer is not enough to change what was certain: it may be of another product, or a broken one."""
        if proof.contradicted and self._queue.attempts(request) < BELIEVED_AT:
            raise Unavailable(f"the answer contradicts {len(proof.contradicted)} candles of {series} that were certain")

    def _doubt_before(self, series: Series, need: Need, origin_s: int) -> None:
        """Before the correction is written: if this process dies in between, the doubt is found, or the error again."""
        earlier = (series, origin_s, need.first_s - series.timeframe.seconds)
        if self._context.candles.doubt([earlier], confirmed=True):
            log.warning("%s: REST contradicts what it had confirmed: everything before is asked for again", series)
            self._queue.add([(Request(Kind.GAP, series.product, series.timeframe), Why.GAP)])

    def _try_again(self, request: Request, reason: str, exchange_ms: int) -> None:
        tries = self._queue.attempts(request) + 1
        if tries >= TRIES:
            self._queue.fail(request, f"{reason} ({tries} tries)", exchange_ms)
            log.error("%s %s: given up after %d tries: %s", request.product, request.timeframe, tries, reason)
            return
        delay_s = min(LONGEST_DELAY_S, 0.5 * 2**tries) * random.uniform(0.5, 1.0)
        self._queue.retry(request, delay_s)
        log.warning("%s %s: %s; again in %.1f s", request.product, request.timeframe, reason, delay_s)
