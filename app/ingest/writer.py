"""Writes feed events to Redis and sends tasks to workers, once per closed candle over all ingest processes."""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Container, Iterable
from itertools import chain, islice

import numpy as np

from app.exchange.adapter import GapSuspected
from app.ingest.outbox import Batch
from app.market.candles import UnifiedCandle
from app.market.records import EMPTY, PROVISIONAL, RECORD, SILENT, Records, to_records
from app.market.series import Series
from app.storage import mismatches
from app.storage.changed_ranges import changed_ranges
from app.storage.forming import FormingFeed
from app.storage.model import Outcome, Range, Write, Written
from app.storage.queue import BackfillRequest, Kind, Priority
from app.storage.stores import Stores
from app.tasks import SERIES_PER_TASK, Tasks

log = logging.getLogger(__name__)

WAKE_UPS_KEPT = 1_000


class Writer:
    """Not thread-safe: one thread writes. `write` may be called again with the same batch after an error.

    `top_up` adds candles that closed since a batch was taken: if hundreds close at once, the first are written early.
    """

    def __init__(
        self, stores: Stores, tasks: Tasks, settling_s: float, top_up: Callable[[Batch], None] = lambda _: None
    ) -> None:
        self._stores = stores
        self._tasks = tasks
        self._top_up = top_up
        self._forming = FormingFeed(stores.redis, stores.exchange)
        self._settling_s = settling_s
        self._wake_ups: list[int] = []

    def write(self, batch: Batch) -> None:
        """Write `batch`, and empty it step by step, so that nothing is done twice if a step fails."""
        self._notify_workers(batch)  # left over from a failed attempt
        self._write_closed(batch)
        if batch.exchange_ms:
            # After the candles: a reader of this time finds every candle that closed before it.
            self._stores.clock.set(batch.exchange_ms)
        self._write_forming(batch)
        self._note_silence(batch)
        self._queue_gaps(batch)
        if batch.refused:
            self._stores.products.refuse(batch.refused)
            batch.refused.clear()
        self._wake_up(batch.exchange_ms)

    def _write_closed(self, batch: Batch) -> None:
        """Write closed candles, one task's worth at a time: workers compute the first while others are written."""
        if not batch.closed:
            return
        is_trusted = self._stores.trust.is_given
        while batch.closed:
            if len(batch.closed) < SERIES_PER_TASK:
                self._top_up(batch)
            some = list(islice(batch.closed.items(), SERIES_PER_TASK))
            writes = self._writes(event.candle for _, event in some)
            provisional = {key for key, event in some if event.provisional or not is_trusted}
            if provisional:
                self._mark(writes, provisional)
            written = self._stores.candles.write(writes)
            batch.changed += changed_ranges(written)
            for key, _ in some:
                del batch.closed[key]
            self._compare(written)
            mismatches.record(self._stores.redis, written, cause="revision", exchange_ms=batch.exchange_ms)
            self._notify_workers(batch)  # last: the broker may fail, and only this is retried

    def _notify_workers(self, batch: Batch) -> None:
        if batch.changed:
            self._tasks.update(batch.changed)
            batch.changed.clear()

    def _mark(self, writes: list[Write], provisional: Container[tuple[str, int]]) -> None:
        """Mark the `provisional` ones (product, bucket), and queue their requests for when they have settled."""
        for series, records, *_ in writes:
            chosen = np.array([(series.product, start_s) in provisional for start_s in records["start_s"].tolist()])
            records["flags"][chosen] |= PROVISIONAL
            if chosen.any():
                self._request_settled(series, int(records["start_s"][chosen].min()))

    def _request_settled(self, series: Series, start_s: int) -> None:
        """Queue a request for `series`, due once the bucket has settled."""
        settles_ms = int((start_s + series.timeframe.seconds + self._settling_s) * 1000)
        request = BackfillRequest(Kind.GAP, series.product, series.timeframe)
        self._stores.queue.add([(request, Priority.GAP)], not_before_ms=settles_ms)
        if settles_ms not in self._wake_ups and len(self._wake_ups) < WAKE_UPS_KEPT:
            heapq.heappush(self._wake_ups, settles_ms)

    def _compare(self, written: Iterable[Written]) -> None:
        """If the stream contradicts confirmed candles, queue a reconciliation: REST decides."""
        contradicted = {w.series for w in written for i in w.before if w.outcomes[i] is Outcome.REFUSED}
        if contradicted:
            log.info("the stream contradicts confirmed candles: %s", ", ".join(sorted(map(str, contradicted))))
            requests = (BackfillRequest(Kind.RECONCILE, s.product, s.timeframe) for s in contradicted)
            self._stores.queue.add((request, Priority.RECONCILE) for request in requests)
            self._tasks.drain()

    def _write_forming(self, batch: Batch) -> None:
        if batch.forming:
            written = self._stores.candles.write(self._writes(batch.forming.values()), announce=False)
            newer = {w.series.product for w in written if Outcome.UPDATED in w.outcomes}
            self._forming.publish(candle for candle in batch.forming.values() if candle.product in newer)
            batch.forming.clear()

    def _writes(self, candles: Iterable[UnifiedCandle]) -> list[Write]:
        by_series: dict[Series, list[UnifiedCandle]] = {}
        for candle in candles:
            series = Series(candle.exchange, candle.product, candle.timeframe)
            by_series.setdefault(series, []).append(candle)
        records = to_records(chain.from_iterable(by_series.values()))  # NumPy is slow to start: once for all
        writes, at = [], 0
        for series, some in by_series.items():
            writes.append(Write(series, records[at : at + len(some)]))
            at += len(some)
        return writes

    def _queue_gaps(self, batch: Batch) -> None:
        if batch.gaps:
            for gap in batch.gaps.values():
                log.info("%s %s: gap suspected: %s", gap.product, gap.timeframe, gap.reason)
            exchange = self._stores.exchange
            # A stream that turns out to be stalled may have closed some of them already.
            self._stores.candles.mark_provisional(
                [Range(Series(exchange, g.product, g.timeframe), g.first_s, g.last_s) for g in batch.gaps.values()]
            )
            self._stores.queue.add(((_request(gap), Priority.GAP) for gap in batch.gaps.values()), anew=True)
            self._tasks.drain()
            batch.gaps.clear()

    def _note_silence(self, batch: Batch) -> None:
        """Store in which buckets an unbroken stream was silent, and queue requests for when they have settled."""
        if not batch.quiet:
            return
        many = [(Series(self._stores.exchange, g.product, g.timeframe), g) for g in chain(*batch.quiet.values())]
        self._stores.candles.write([Write(s, _silent_notes(g)) for s, g in many], announce=False)
        first_s: dict[Series, int] = {}
        for series, gap in many:
            first_s[series] = min(gap.first_s, first_s.get(series, gap.first_s))
        for series, start_s in first_s.items():
            self._request_settled(series, start_s)
        batch.quiet.clear()

    def _wake_up(self, exchange_ms: int) -> None:
        """Drain the queue when a bucket in it has settled, rather than at beat's next tick."""
        due = False
        while self._wake_ups and self._wake_ups[0] <= exchange_ms:
            heapq.heappop(self._wake_ups)
            due = True
        if due:
            self._tasks.drain()


def _silent_notes(gap: GapSuspected) -> Records:
    """A record for each bucket of `gap`: no candle yet."""
    starts = np.arange(gap.first_s, gap.last_s + 1, gap.timeframe.seconds)
    notes = np.zeros(len(starts), RECORD)
    notes["start_s"] = starts
    notes["flags"] = EMPTY | SILENT
    return notes


def _request(gap: GapSuspected) -> BackfillRequest:
    return BackfillRequest(Kind.GAP, gap.product, gap.timeframe)
