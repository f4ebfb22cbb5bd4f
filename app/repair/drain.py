"""Works through the repair queue, one permit and one page at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.context import Context
from app.errors import ExchangeError, Throttled
from app.repair.budget import Permit
from app.repair.filler import Filler
from app.repair.queue import Request
from app.repair.tally import counted
from app.stop import Stop
from app.touched import Touched

log = logging.getLogger(__name__)

CLOCK_TOO_OLD_MS = 10_000
"""A clock that nobody has heard for so long (real time) is asked for over REST."""

LONGEST_WAIT_S = 2.0
"""A permit further away than this is not waited for: the next call will see."""

WORTH_A_LINE = 10
"""Requests left, from which on progress is logged."""


class Drain:
    """What a backfill worker does. Any number may run at the same time, on any host."""

    def __init__(self, context: Context, on_news: Callable[[list[Touched]], None]) -> None:
        self._context = context
        self._filler = Filler(context, on_news)

    def run(self, *, max_s: float, stop: Stop | None = None) -> int:
        """Work until nothing is due, or `max_s` have passed; returns how many pages were asked for."""
        deadline, pages = time.monotonic() + max_s, 0
        while time.monotonic() < deadline and not (stop and stop.is_set()):
            exchange_ms = self._exchange_ms()
            request = None if exchange_ms is None else self._context.queue.claim(exchange_ms)
            if request is None or exchange_ms is None:
                break
            if self._filler.need(request, exchange_ms) is None:
                self._filler.release(request, exchange_ms)
                continue
            permit = self._context.budget.acquire(timeout_s=LONGEST_WAIT_S, stop=stop)
            if permit is None:
                self._context.queue.settle(request, exchange_ms)
                break
            pages += self._ask(request, permit, exchange_ms)
        self._report(pages)
        return pages

    def _report(self, pages: int) -> None:
        left = self._context.queue.state()
        if pages and left.total >= WORTH_A_LINE:
            seconds = left.total / self._context.settings.rest_requests_per_second
            log.info("repair: %d pages read, %d requests left, about %.0f s", pages, left.total, seconds)

    def _ask(self, request: Request, permit: Permit, exchange_ms: int) -> int:
        """Use `permit` for `request`, unless what it lacked has come while we waited; returns the pages asked for."""
        answered = False
        try:
            # The later the time of asking, the more buckets have settled.
            exchange_ms = self._exchange_ms() or exchange_ms
            need = self._filler.need(request, exchange_ms)
            if need is None:
                self._filler.release(request, exchange_ms)
                permit.cancel()
                return 0
            answered = self._filler.work(request, need, exchange_ms)
        finally:
            permit.give_back(answered=answered)
        return 1

    def _exchange_ms(self) -> int | None:
        """The exchange's time; too early rather than too late, so that nothing settles too soon."""
        known = self._context.clock.read()
        if known and known.age_ms <= CLOCK_TOO_OLD_MS:
            return known.exchange_ms
        if not self._context.queue.state().total:
            return None
        permit = self._context.budget.acquire(timeout_s=LONGEST_WAIT_S)
        if permit is None:
            return None
        answered = False
        try:
            with counted(self._context.redis, "clock"):
                exchange_ms = self._context.rest.time_ms()
            answered = True
        except Throttled as error:
            self._context.budget.pause(error.retry_after_s)
            return None
        except ExchangeError as error:
            log.warning("the exchange's time is not known: %s", error)
            return known.exchange_ms if known else None
        finally:
            permit.give_back(answered=answered)
        self._context.clock.tell(exchange_ms)
        return exchange_ms
