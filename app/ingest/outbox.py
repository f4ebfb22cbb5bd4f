"""Feed events that Redis does not have yet: bounded, coalescing, and safe to use from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain

from app.exchange.adapter import (
    CandleClosed,
    CandleUpdated,
    ClockTick,
    Connected,
    Disconnected,
    FeedEvent,
    FrameRejected,
    GapSuspected,
    ProductAccepted,
    ProductRefused,
)
from app.market.candles import UnifiedCandle
from app.storage.changed_ranges import ChangedRange

_LINK = (Connected, Disconnected, FrameRejected)
_PATIENT = (CandleUpdated, ClockTick)

CLOSED_KEPT = 100_000
"""Closed candles held without Redis; beyond that the oldest are dropped, and the next scan finds them missing."""

SILENCES_KEPT = 100
"""Runs of silent buckets held per product; REST decides about others."""


@dataclass
class Batch:
    """Everything that waits to be written; only the newest event per key.

    `refused`: why the exchange does not deliver a product; None if it delivers it again.
    """

    closed: dict[tuple[str, int], CandleClosed] = field(default_factory=dict)
    forming: dict[str, UnifiedCandle] = field(default_factory=dict)
    gaps: dict[str, GapSuspected] = field(default_factory=dict)
    quiet: dict[str, list[GapSuspected]] = field(default_factory=dict)
    refused: dict[str, str | None] = field(default_factory=dict)
    changed: list[ChangedRange] = field(default_factory=list)
    exchange_ms: int = 0


class Outbox:
    """Passes events from the feed's threads, in batches, to the writer's thread.

    `on_link` receives connects, disconnects and rejected frames at once, on the feed's thread.
    """

    def __init__(self, on_link: Callable[[Connected | Disconnected | FrameRejected], None]) -> None:
        self._on_link = on_link
        self._batch = Batch()
        self._changed = threading.Condition()
        self._urgent = False
        self.dropped = 0

    def put(self, event: FeedEvent) -> None:
        if isinstance(event, _LINK):
            self._on_link(event)
            return
        with self._changed:
            self._keep(event)
            if not isinstance(event, _PATIENT):
                self._urgent = True
                self._changed.notify()

    def pop(self, *, at_most_s: float) -> Batch:
        """All waiting events: as soon as a candle closed or is missing, else after `at_most_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._urgent, timeout=at_most_s)
            batch, self._batch, self._urgent = self._batch, Batch(), False
            return batch

    def top_up(self, batch: Batch) -> None:
        """Move candles that closed since into `batch`, to be written with it."""
        with self._changed:
            waiting = self._batch
            batch.closed.update(waiting.closed)
            waiting.closed.clear()
            self._urgent = bool(waiting.gaps or waiting.quiet or waiting.refused)

    def put_back(self, batch: Batch) -> None:
        """Keep a batch that could not be written; newer events win."""
        with self._changed:
            newer, self._batch = self._batch, batch
            batch.closed.update(newer.closed)
            batch.forming.update(newer.forming)
            for gap in chain(newer.gaps.values(), *newer.quiet.values()):
                self._keep(gap)
            batch.refused.update(newer.refused)
            batch.changed += newer.changed
            batch.exchange_ms = max(batch.exchange_ms, newer.exchange_ms)
            self._bound()

    def _keep(self, event: FeedEvent) -> None:
        batch = self._batch
        match event:
            case CandleUpdated():  # by far the most frequent: first, without unpacking
                batch.forming[event.candle.product] = event.candle
            case CandleClosed(candle):
                batch.closed[candle.product, candle.start_s] = event
                self._bound()
            case GapSuspected(product=product):
                if event.settled_only:
                    _append(batch.quiet.setdefault(product, []), event)
                else:
                    batch.gaps[product] = _merged(batch.gaps.get(product), event)
            case ProductRefused(product, reason):
                batch.refused[product] = reason
            case ProductAccepted(product):
                batch.refused[product] = None
            case ClockTick(exchange_ms):
                batch.exchange_ms = max(batch.exchange_ms, exchange_ms)

    def _bound(self) -> None:
        while len(self._batch.closed) > CLOSED_KEPT:
            del self._batch.closed[next(iter(self._batch.closed))]
            self.dropped += 1


def _append(silences: list[GapSuspected], new: GapSuspected) -> None:
    """Add `new` to the silences of a product; merge it with the last one if they are adjacent."""
    if silences and silences[-1].last_s + new.timeframe.seconds == new.first_s:
        silences[-1] = replace(silences[-1], last_s=new.last_s)
    else:
        silences.append(new)
        del silences[:-SILENCES_KEPT]


def _merged(known: GapSuspected | None, new: GapSuspected) -> GapSuspected:
    """One gap that covers both; the buckets really missing are read from the cache later."""
    if known is None:
        return new
    return replace(new, first_s=min(known.first_s, new.first_s), last_s=max(known.last_s, new.last_s))
