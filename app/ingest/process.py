"""Runs the feed and the writer until a signal ends them."""

from __future__ import annotations

import gc
import logging
import signal
import time

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.backfill.rest import BudgetedRest
from app.exchange.adapter import Connected, Disconnected, FrameRejected
from app.exchange.feed import Feed
from app.exchange.registry import venue
from app.ingest.following import Following, SelectionChange
from app.ingest.outbox import Batch, Outbox
from app.ingest.product_selection import Selector
from app.ingest.writer import Writer
from app.settings import Settings
from app.storage.health import HealthCache
from app.storage.heartbeats import Heartbeat
from app.storage.leftovers import earlier_version
from app.storage.stores import Stores
from app.tasks import Tasks
from app.util.backoff import Backoff
from app.util.stop import Stop

log = logging.getLogger(__name__)

WRITE_EVERY_S = 0.25
"""Longest wait of forming candles and the clock; closes and gaps do not wait."""

CHECK_EVERY_S = 1.0
"""Between two reports of the connections' health, and checks of products."""

MAX_DELAY_S = 2.0
"""Between two tries to write without Redis."""


class Ingest:
    """One ingest process: as many connections as its share of the products needs, and one writer."""

    def __init__(self, stores: Stores, settings: Settings, rest: BudgetedRest, tasks: Tasks) -> None:
        self._stores = stores
        self._settings = settings
        self._rest = rest
        self._tasks = tasks
        self._stop = Stop()
        self._outbox = Outbox(self._on_link)
        self._writer = Writer(stores, tasks, settings.settling_seconds, self._outbox.top_up)
        self._health = HealthCache(stores.redis, stores.exchange)
        self._failing_since_s: float | None = None
        self._backoff = Backoff(first_s=0.1, max_s=MAX_DELAY_S)
        self._heartbeat = Heartbeat(stores.redis, "ingest")
        self._check_at_s = 0.0
        self._scanned = False

    def stop(self) -> None:
        """End `run` soon, after a last attempt to write."""
        self._stop.set()

    def run(self) -> None:
        """Run until `stop`. Redis and the exchange may fail and return."""
        settings = self._settings
        selector = Selector(self._stores, settings, self._rest, self._stop)
        selection = selector.first()
        if selection is None:
            return
        following = Following(self._stores.products, settings.ingest_share, selection)
        first = self._first_check(following)
        if first is None:
            return
        share, url = settings.ingest_share, settings.exchange(self._stores.exchange).ws_url
        adapter = venue(self._stores.exchange).feed(
            url,
            self._outbox.put,
            products_per_connection=settings.products_per_connection,
            close_grace_s=settings.close_grace_seconds,
        )
        log.info("following %d products (share %s) at %s", len(first.new), share, url)
        _apply(first, adapter)
        following.complete(selector, self._stop)
        adapter.connect()
        try:
            while not self._stop.is_set():
                self._turn(adapter, following)
        finally:
            adapter.disconnect()
            self._check_at_s = 0.0
            self._turn(adapter, following)
            log.info("ended")

    def _first_check(self, following: Following) -> SelectionChange | None:
        while not self._stop.is_set():
            try:
                if found := earlier_version(self._stores.redis):
                    log.warning("%s", found)
                return following.check()
            except RedisError as error:
                log.warning("cannot use Redis yet (%s): retrying", error)
                self._stop.wait(1.0)
        return None

    def _turn(self, adapter: Feed, following: Following) -> None:
        """Write the waiting events. If that fails, they are kept and retried with everything newer."""
        batch = self._outbox.pop(at_most_s=WRITE_EVERY_S)
        try:
            self._writer.write(batch)
            self._after(batch, adapter, following)
            self._heartbeat.beat()
        except (RedisError, OperationalError) as error:
            self._outbox.put_back(batch)
            self._redis_failed(error)
            self._stop.wait(self._backoff.next_s())
        else:
            self._redis_returned()

    def _after(self, batch: Batch, adapter: Feed, following: Following) -> None:
        if time.monotonic() >= self._check_at_s:
            self._check(adapter, following)
            self._check_at_s = time.monotonic() + CHECK_EVERY_S
        if batch.exchange_ms and not self._scanned:
            # The start is an ordinary scan: it finds every series empty, or with a gap from the downtime.
            self._tasks.scan()
            self._scanned = True

    def _check(self, adapter: Feed, following: Following) -> None:
        self._health.store(adapter.health(), dropped=self._outbox.dropped)
        change = following.check()
        if change.lost:
            log.error("Redis has lost its data: fetching everything again")
        if change.new or change.gone:
            log.info("following %d more products, %d no longer", len(change.new), len(change.gone))
            _apply(change, adapter)
        if change.lost or change.new:
            self._scanned = False

    def _redis_failed(self, error: Exception) -> None:
        if self._failing_since_s is None:
            self._failing_since_s = time.monotonic()
            log.error("cannot write to Redis (%s): buffering closed candles in memory", error)

    def _redis_returned(self) -> None:
        if self._failing_since_s is not None:
            failed_s = time.monotonic() - self._failing_since_s
            log.warning("Redis is back after %.1f s: all buffers written (%d dropped)", failed_s, self._outbox.dropped)
            self._failing_since_s = None
            self._backoff.reset()

    def _on_link(self, event: Connected | Disconnected | FrameRejected) -> None:
        self._check_at_s = 0.0
        match event:
            case Connected(connection, attempt):
                log.info("connection %s: open (number %d)", connection, attempt)
            case Disconnected(connection, reason):
                log.warning("connection %s: lost: %s", connection, reason)
            case FrameRejected(connection, reason):
                log.debug("connection %s: frame rejected: %s", connection, reason)


def _apply(change: SelectionChange, adapter: Feed) -> None:
    adapter.unsubscribe(change.gone)
    adapter.subscribe((p.product for p in change.new), {p.product: p.source for p in change.new})


def main(ingest: Ingest) -> int:
    """Run an ingest process until SIGTERM or SIGINT."""
    gc.freeze()  # imported objects stay: collecting them would take 40 ms in the middle of some close
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ingest.stop())
    ingest.run()
    return 0
