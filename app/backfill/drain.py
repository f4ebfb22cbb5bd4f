"""Works through the backfill queue, one permit and one page at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from app.backfill.filler import Filler
from app.backfill.rest import BudgetedRest
from app.errors import ExchangeError
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.queue import BackfillRequest
from app.storage.stores import Stores
from app.util.stop import Stop

log = logging.getLogger(__name__)

CLOCK_TOO_OLD_MS = 10_000
"""A clock older than this (real time) is requested from REST."""

MAX_WAIT_S = 2.0
"""Longest wait for a permit; after that the next call tries again."""

MAX_PAGES = 4
"""Consecutive pages of one request before others have their turn."""

MIN_LOGGED = 10
"""Progress is logged from this many requests left."""


class Drain:
    """Work of a backfill worker. Any number may run at the same time, on any host."""

    def __init__(
        self, stores: Stores, settings: Settings, rest: BudgetedRest, on_changes: Callable[[list[ChangedRange]], None]
    ) -> None:
        self._stores = stores
        self._rest = rest
        self._per_second = settings.exchange(stores.exchange).rest_requests_per_second
        self._filler = Filler(stores, settings, on_changes)

    def run(self, *, max_s: float, stop: Stop | None = None) -> int:
        """Work until nothing is due or `max_s` have passed; returns the number of pages requested."""
        deadline, pages = time.monotonic() + max_s, 0
        while time.monotonic() < deadline and not (stop and stop.is_set()):
            exchange_ms = self._exchange_ms()
            request = None if exchange_ms is None else self._stores.queue.claim(exchange_ms)
            if request is None or exchange_ms is None:
                break
            if self._filler.next_page(request, exchange_ms) is None:
                self._filler.release(request, exchange_ms)
                continue
            served = self._serve(request, exchange_ms, stop)
            pages += served or 0
            if served is None:
                break
        self._report(pages)
        return pages

    def _report(self, pages: int) -> None:
        left = self._stores.queue.state()
        if pages and left.total >= MIN_LOGGED:
            seconds = left.total / self._per_second
            log.info("backfill: %d pages read, %d requests left, about %.0f s", pages, left.total, seconds)

    def _serve(self, request: BackfillRequest, exchange_ms: int, stop: Stop | None) -> int | None:
        """Request the pages of `request`; returns their number, or None if there was no permit for the first."""
        follows = None
        for pages in range(MAX_PAGES):
            with self._rest.permit(timeout_s=MAX_WAIT_S, stop=stop) as permit:
                if permit is None:
                    self._stores.queue.postpone(request, exchange_ms)
                    return pages or None
                # Read the time and the gaps again: by now more buckets have settled, and some may have arrived.
                exchange_ms = self._exchange_ms() or exchange_ms
                requested = follows or self._filler.next_page(request, exchange_ms)
                if requested is None:
                    self._filler.release(request, exchange_ms)
                    return pages
                try:
                    follows = self._filler.work(request, requested, exchange_ms, permit)
                except ExchangeError as error:
                    self._filler.failed(request, error, exchange_ms)
                    return pages + 1
            if follows is None:
                break
        self._filler.release(request, exchange_ms)
        return pages + 1

    def _exchange_ms(self) -> int | None:
        """The exchange's time, early rather than late, so that no bucket settles too soon."""
        known = self._stores.clock.read()
        if known and known.age_ms <= CLOCK_TOO_OLD_MS:
            return known.exchange_ms
        if not self._stores.queue.state().total:
            return None
        with self._rest.permit(timeout_s=MAX_WAIT_S) as permit:
            if permit is None:
                return None
            try:
                exchange_ms = permit.request("clock", lambda rest: rest.time_ms())
            except ExchangeError as error:
                log.warning("cannot read the exchange's time: %s", error)
                return known.exchange_ms if known else None
        self._stores.clock.set(exchange_ms)
        return exchange_ms
