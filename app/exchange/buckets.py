"""The close rule: what the updates of one product say about its buckets.

An update is the whole candle of its bucket. So a bucket's last state is complete at its end if at least one update
came after the last break (a connect, a lost frame, a dead channel), and no break came since. Otherwise, or without any
update, the bucket is a suspected gap. Snapshots have gaps: they complete nothing. Neither does an update that comes
after a break made the bucket a suspected gap: its candle is used until REST has answered.

A bucket that was open when the connection was made closes as provisional, whatever its updates say: a restarted server
may count from zero.
"""

from __future__ import annotations

from collections import Counter

from app.exchange.adapter import CandleClosed, CandleUpdated, FeedEvent, GapSuspected
from app.market.candles import CandleState, UnifiedCandle
from app.market.timeframes import BASE

STEP_S = BASE.seconds
MAX_GAP_BUCKETS = 1000
"""A gap reaches back at most this far. Older buckets than a ring holds are not worth a gap."""

QUIET = "no update in an unbroken stream"
_REMEMBERED = 4
_CONTRADICTIONS = 3
_FOR_EVER = 2**40


class BucketBook:
    """The buckets of one product: those before `next_s` are decided, `next_s` is the oldest that is not.

    `next_s` is None before the product's stream started for the first time; earlier buckets are never reported as gaps.
    """

    __slots__ = ("_broken_last_s", "_contradictions", "_gap_reason", "_held", "_is_complete", "_provisional",
                 "_provisional_last_s", "_recent", "_tally", "live", "next_s", "product")  # fmt: skip

    def __init__(self, product: str, tally: Counter[str]) -> None:
        self.product = product
        self.live = False
        self.next_s: int | None = None
        self._held: UnifiedCandle | None = None
        self._is_complete = False
        self._contradictions = 0
        self._provisional_last_s = _FOR_EVER
        self._broken_last_s = _FOR_EVER
        self._gap_reason = "subscribed in the middle of the bucket"
        self._recent: dict[int, UnifiedCandle | None] = {}
        self._provisional: set[int] = set()
        self._tally = tally

    def stream_started(self, open_s: int) -> None:
        """The product's stream is complete from now on, a moment within the bucket `open_s`."""
        self.live = True
        self.next_s = open_s if self.next_s is None else self.next_s
        self._provisional_last_s = self._broken_last_s = max(open_s, self.next_s)

    def stream_lost(self, reason: str) -> None:
        """The product's stream ended; every bucket is a suspected gap until it starts again."""
        self.live = False
        self._is_complete = False
        self._provisional_last_s = self._broken_last_s = _FOR_EVER
        if self.next_s is not None:
            self._gap_reason = reason

    def invalidate(self, open_s: int, reason: str) -> None:
        """Something may have been lost, up to some moment within the bucket `open_s`."""
        if self.live and self.next_s is not None:
            self._is_complete = False
            self._provisional_last_s = max(open_s, self.next_s)
            self._gap_reason = reason

    def restart(self, open_s: int, reason: str) -> list[FeedEvent]:
        """The exchange's clock was set back: decisions on buckets from `open_s` on are void."""
        if self.next_s is None or self.next_s <= open_s + STEP_S:
            return []
        last_s = self.next_s - STEP_S
        self.next_s, self._held = open_s, None
        self._recent.clear()
        self._provisional.clear()
        self.invalidate(open_s, reason)
        return [self._gap(open_s, last_s, reason, settled_only=False)]

    def mark_gap(self, first_s: int, reason: str) -> list[FeedEvent]:
        """The buckets from `first_s` on were decided while the stream was dead."""
        if self.next_s is None or first_s >= self.next_s:
            return []
        self._provisional.update(start_s for start_s in self._recent if start_s >= first_s)
        return [self._gap(first_s, self.next_s - STEP_S, reason, settled_only=False)]

    def mark_last_gap(self, reason: str) -> list[FeedEvent]:
        """The bucket decided last may have closed before its last update, which is lost."""
        last_s = 0 if self.next_s is None else self.next_s - STEP_S
        was_decided = last_s in self._recent and last_s not in self._provisional
        return self.mark_gap(last_s, reason) if was_decided else []

    def preview(self, candle: UnifiedCandle) -> list[FeedEvent]:
        """The open bucket's candle in a snapshot: shown, but not used for the close."""
        held = self._held
        if self.next_s is None or candle.start_s < self.next_s:
            return []
        if held is not None and held.start_s == candle.start_s and candle.volume <= held.volume:
            return []
        return [CandleUpdated(candle)]

    def update(self, candle: UnifiedCandle) -> list[FeedEvent]:
        """One update, of a product whose stream has started. A later bucket decides all before it."""
        assert self.next_s is not None
        if candle.start_s < self.next_s:
            return self._revise(candle)
        events = self.decide(candle.start_s) if candle.start_s > self.next_s else []
        held = self._held
        if held is not None and candle.volume < held.volume:
            self._contradict(candle.start_s)
            return events
        self._held, self._is_complete, self._contradictions = candle, True, 0
        if held is None or not _same(held, candle):
            events.append(CandleUpdated(candle))
        return events

    def decide(self, end_s: int) -> list[FeedEvent]:
        """Decide every bucket that starts before `end_s`, oldest first."""
        first_s = self.next_s
        if first_s is None or end_s <= first_s:
            return []
        events: list[FeedEvent] = []
        last_s = end_s - STEP_S
        self._remember(first_s, last_s, self._held)
        if self._held is not None and self._is_complete:
            closed = self._held.with_state(CandleState.CLOSED)
            self._recent[first_s] = closed
            events.append(CandleClosed(closed, provisional=first_s <= self._broken_last_s))
            first_s += STEP_S
        gap_last_s = min(self._provisional_last_s, last_s)
        if first_s <= gap_last_s:
            events.append(self._gap(first_s, gap_last_s, self._gap_reason, settled_only=False))
            self._provisional.update(start_s for start_s in self._recent if first_s <= start_s <= gap_last_s)
            first_s = gap_last_s + STEP_S
        if first_s <= last_s:
            events.append(self._gap(first_s, last_s, QUIET, settled_only=True))
        self.next_s, self._held, self._is_complete, self._contradictions = end_s, None, False, 0
        return events

    def _revise(self, candle: UnifiedCandle) -> list[FeedEvent]:
        """An update for a decided bucket: a correction by the exchange, or a delayed frame.

        A suspected gap stays one: more updates may have been lost, so this close is requested from REST, too.
        """
        start_s = candle.start_s
        if start_s not in self._recent:
            self._tally["late"] += 1
            return []
        known = self._recent[start_s]
        if known is not None and candle.volume < known.volume:
            self._tally["stale"] += 1
            return []
        if known is not None and known.state is CandleState.CLOSED and _same(known, candle):
            return []
        closed = candle.with_state(CandleState.CLOSED)
        self._recent[start_s] = closed
        is_provisional = start_s in self._provisional
        events: list[FeedEvent] = [CandleClosed(closed, provisional=is_provisional or start_s <= self._broken_last_s)]
        if is_provisional:
            events.append(self._gap(start_s, start_s, "a late update of a suspected gap", settled_only=False))
        return events

    def _contradict(self, start_s: int) -> None:
        # One such frame was delayed. Several without a newer one between them: the held candle is wrong.
        self._tally["stale"] += 1
        self._contradictions += 1
        if self._contradictions >= _CONTRADICTIONS:
            self.invalidate(start_s, "the stream contradicts itself")

    def _remember(self, first_s: int, last_s: int, held: UnifiedCandle | None) -> None:
        """Keep the newest decided buckets, for revisions."""
        for start_s in range(max(first_s, last_s - (_REMEMBERED - 1) * STEP_S), last_s + STEP_S, STEP_S):
            self._recent[start_s] = held if start_s == first_s else None
        while len(self._recent) > _REMEMBERED:
            oldest_s = next(iter(self._recent))
            del self._recent[oldest_s]
            self._provisional.discard(oldest_s)

    def _gap(self, first_s: int, last_s: int, reason: str, *, settled_only: bool) -> GapSuspected:
        first_s = max(first_s, last_s - (MAX_GAP_BUCKETS - 1) * STEP_S)
        return GapSuspected(self.product, BASE, first_s, last_s, reason, settled_only)


def _same(a: UnifiedCandle, b: UnifiedCandle) -> bool:
    return a.volume == b.volume and a.close == b.close and a.high == b.high and a.low == b.low and a.open == b.open
