"""The three jobs of the backfill, requested by beat and the ingest process: scan, reconcile, drain."""

from __future__ import annotations

import logging
from collections import Counter

from app.backfill.drain import Drain
from app.backfill.rest import BudgetedRest
from app.backfill.scan import Found, Scanner
from app.backfill.schedule import is_due
from app.market.timeframes import BASE
from app.settings import Settings
from app.storage.clock import ExchangeTime
from app.storage.leftovers import sweep
from app.storage.queue import BackfillRequest, Kind, Priority
from app.storage.stores import Stores
from app.tasks import Tasks
from app.util.stop import Stop

log = logging.getLogger(__name__)


class Backfill:
    """Safe to call from any number of processes at once."""

    def __init__(self, stores: Stores, settings: Settings, rest: BudgetedRest, tasks: Tasks) -> None:
        self._stores = stores
        self._settings = settings
        self._tasks = tasks
        self._scanner = Scanner(stores, settings)
        self._drain = Drain(stores, settings, rest, tasks.update)

    def scan(self, *, now: bool = False) -> list[Found]:
        """Find missing candles and queue requests for them, if a scan is due (or `now`)."""
        clock = self._clock_if_due("scan", self._settings.gap_scan_seconds, now=now)
        if clock is None:
            return []
        found = self._scanner.scan(clock.exchange_ms)
        for due in (f.due for f in found if f.due):
            self._stores.queue.add([(due.request, due.priority)], not_before_ms=due.not_before_ms)
        self._tasks.update(f.changed for f in found if f.changed)
        self._forget()
        if found:
            _report(found)
            self._tasks.drain()
        return found

    def _clock_if_due(self, task: str, every_s: float, *, now: bool) -> ExchangeTime | None:
        """The exchange's time, if it is known and `task` is due (or `now`)."""
        stores, clock = self._stores, self._stores.clock.read()
        if clock is None or now or is_due(stores.redis, task, stores.exchange, clock.exchange_s, every_s):
            return clock
        return None

    def _forget(self) -> None:
        """Delete requests and disputes of products no longer followed."""
        followed = {product.product for product in self._stores.products.read()}
        if followed:
            self._stores.queue.forget(followed)
            self._stores.disputes.forget(followed)

    def reconcile(self, *, now: bool = False) -> int:
        """Queue the last page of every 5m series for comparison with REST, and of one longer timeframe in turn."""
        every_s = self._settings.reconcile_seconds
        clock = self._clock_if_due("reconcile", every_s, now=now)
        if clock is None:
            return 0
        longer = [t for t in self._settings.timeframes if t != BASE]
        turn = longer[int(clock.exchange_s // every_s) % len(longer)] if longer else BASE
        requests = [
            (BackfillRequest(Kind.RECONCILE, product, timeframe), Priority.RECONCILE)
            for timeframe in dict.fromkeys((BASE, turn))
            for product in self._stores.products.delivered()
        ]
        self._stores.queue.add(requests)
        self._tasks.drain()
        if followed := {product.product for product in self._stores.products.read()}:
            sweep(self._stores.redis, self._stores.exchange, followed)
        log.info("reconciliation: %d requests queued (5m and %s)", len(requests), turn)
        return len(requests)

    def drain(self, *, max_s: float = 20.0, stop: Stop | None = None) -> int:
        """Work on the queue until nothing is due, `max_s` have passed, or `stop` is set."""
        return self._drain.run(max_s=max_s, stop=stop)


def _report(found: list[Found]) -> None:
    kinds = Counter(f.due.priority for f in found if f.due and f.buckets)
    starts = sum(f.due is not None and f.due.priority is Priority.START for f in found)
    if starts or kinds:
        buckets = sum(f.buckets for f in found)
        words = "scan: %d new series, %d with gaps, %d missing history (%d buckets)"
        log.info(words, starts, kinds[Priority.GAP], kinds[Priority.HISTORY], buckets)
