"""Finds the missing candles of a series, and the page of REST to request next. Pure.

A page reaches from the last candle with trades before a gap to the first after it, or to the open bucket: a response
proves that a bucket is empty only between two rows with trades. The newest gap comes first, so that each older page
ends at a known candle.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from app.backfill.origin import ORIGIN_DELAYS_S
from app.market.candles import CandleState
from app.market.gaps import Starts, merge, missing
from app.market.records import PROVISIONAL, Records, has_trades, is_disputed, state_of
from app.market.timeframes import BASE, Timeframe
from app.storage.model import View
from app.storage.requests import PAGE, PageRequest, Rules, Uncovered, ending, page, page_of_reconciliation, spanning

ANCHOR = 5
"""A page may begin this many buckets earlier, at a candle that REST has confirmed: a response for another product
contradicts it."""

CHILDREN_FIRST_S = 300.0
"""Seconds by which a provisional longer candle waits for the shorter one that made it so."""

MAX_RANGES = 16
"""Uncovered ranges that are remembered per series; others are requested again."""

NEVER_S = float("inf")


class Built(NamedTuple):
    """The longer buckets that are built: all from `first_s` on, except `except_s`, which have known trades and an
    uncovered part.
    """

    first_s: int
    except_s: frozenset[int] = frozenset()

    @classmethod
    def from_base(cls, base: Gaps, timeframe: Timeframe) -> Self:
        """The buckets of `timeframe` built from candles of `base`."""
        first_s = base.view.wanted_from_s(base.timeframe.seconds)
        if not base.uncovered:
            return cls(first_s)
        waiting = set((base.lost // timeframe.seconds * timeframe.seconds).tolist())
        waiting -= {timeframe.bucket(s) for first, last in base.due for s in (first, last)}
        with_trades = base.traded // timeframe.seconds * timeframe.seconds
        return cls(first_s, frozenset(waiting.intersection(with_trades.tolist())))

    def leaves_out(self, starts: Starts) -> npt.NDArray[np.bool_]:
        """Which of `starts` are not built."""
        left_out: npt.NDArray[np.bool_] = starts < self.first_s
        return left_out | np.isin(starts, list(self.except_s)) if self.except_s else left_out


@dataclass(frozen=True)
class Gaps:
    """The missing candles of one series at `now_s` (exchange time), and when to request them.

    `view`: from the oldest bucket of the ring to the newest bucket that is due. `uncovered`: disjoint ranges that were
    requested and not covered. `built`: buckets of a longer timeframe that are built from shorter candles and not
    requested.
    """

    view: View
    timeframe: Timeframe
    now_s: float
    rules: Rules
    uncovered: tuple[Uncovered, ...] = ()
    built: Built | None = None

    @cached_property
    def lost(self) -> Starts:
        """Starts of the buckets, oldest first, that are missing, or whose candle must be confirmed.

        The latter are settled provisional candles, and candles known only from the stream that no reconciliation
        reaches, since the installation stopped before they were confirmed.
        """
        records = self.view.records
        records = records[records["start_s"] >= self.view.wanted_from_s(self._step)]
        lost, starts = self.missing, records["start_s"].astype(np.int64)
        provisional = (records["flags"] & PROVISIONAL) != 0
        left = (state_of(records) == CandleState.CLOSED) & ~provisional
        left &= starts < page_of_reconciliation(self.timeframe, self.now_s).first_s
        if left.any():
            lost = np.union1d(lost, starts[left])
        if self.built is not None:
            lost = lost[self.built.leaves_out(lost)]
        if provisional.any():
            settled_s = self.rules.settled(self.timeframe, self._patient_s)
            lost = np.union1d(lost, starts[provisional & (starts <= settled_s)])
        return lost

    @cached_property
    def missing(self) -> Starts:
        """Starts of the buckets, oldest first, that should be closed and are not."""
        newest_s = self.rules.newest(self.timeframe, self.now_s)
        return missing(self.view.records, self._step, self.view.wanted_from_s(self._step), newest_s)

    @cached_property
    def traded(self) -> Starts:
        """Starts of the closed candles with trades, oldest first; without disputed ones."""
        closed = self.view.over
        starts: Starts = closed["start_s"][has_trades(closed) & ~is_disputed(closed)].astype(np.int64)
        return starts

    def certain(self, first_s: int, end_s: int) -> Records:
        """The closed candles from `first_s` to before `end_s` with trades, without provisional ones, oldest first."""
        first, end = np.searchsorted(self._certain["start_s"], (first_s, end_s))
        return self._certain[first:end]

    @cached_property
    def _certain(self) -> Records:
        closed = self.view.over
        certain: Records = closed[has_trades(closed) & ((closed["flags"] & PROVISIONAL) == 0)]
        return certain

    @cached_property
    def due(self) -> list[tuple[int, int]]:
        """The first and the last bucket of each gap to request now, oldest first."""
        return merge(self.lost[self._due_at_s <= self.now_s], self._step)

    @cached_property
    def _due_at_s(self) -> npt.NDArray[np.float64]:
        """For each of `lost` the exchange time from which to request it.

        Uncovered buckets wait longer after each response. Buckets before the first trade, if a response has found none
        there, wait for the next check of the origin. Buckets that no stream delivers wait for several at once.
        """
        due_s = np.zeros(len(self.lost))
        for part in self.uncovered:
            within = (self.lost >= part.first_s) & (self.lost <= part.last_s)
            due_s[within] = np.maximum(due_s[within], self._due_again_s(part))
        if self._begins_here:
            due_s[self.lost < self.traded[0]] = self._next_origin_s()
        if self.view.silent_s:  # a response proves them once they have settled
            silent = np.isin(self.lost, self.view.silent_s)
            due_s[silent] = np.maximum(due_s[silent], self.lost[silent] + self._step + self.rules.settling_s)
        later_s = self._newest_requested_s + self._step + BASE.seconds + self.rules.grace_s
        due_s[self.lost > self._newest_requested_s] = later_s
        return due_s

    @property
    def is_history(self) -> bool:
        """Whether all missing buckets lie before the first known candle."""
        lost = self.lost[self.lost <= self._newest_requested_s]
        return bool(len(self.traded)) and not (len(lost) and lost[-1] > self.traded[0])

    @property
    def edge_s(self) -> int:
        """The oldest bucket that the ring can hold."""
        return self.view.from_s + 2 * self._step

    def next_page(self) -> PageRequest | None:
        """The page to request now, or None."""
        if not self.view.revision:
            return page(self.timeframe, *ending(self.timeframe, self.open_s))._replace(initial=True)
        if self.due:
            return self._page_for(*self.due[-1])
        if self._origin_due_s() <= self.now_s:
            return page(self.timeframe, *ending(self.timeframe, int(self.traded[0])))
        return None

    def due_s(self) -> float | None:
        """Exchange time from which the next request makes sense; None if nothing is left to request."""
        if not self.view.revision or self.due:
            return self.now_s
        moments = [self._origin_due_s(), *self._due_at_s.tolist()]
        early = self.view.records["start_s"][(self.view.records["flags"] & PROVISIONAL) != 0]
        early = early[early > self.rules.settled(self.timeframe, self._patient_s)]
        if len(early):
            moments.append(self.rules.settles_s(self.timeframe, int(early[0])) + self.now_s - self._patient_s)
        due_s = float(min(moments))
        return None if due_s == NEVER_S else due_s

    def still_uncovered(self, requested: PageRequest) -> tuple[Uncovered, ...]:
        """The ranges still uncovered after the response to `requested`."""
        end_s = requested.last_s + requested.timeframe.seconds - self._step
        open_starts = self.lost[(self.lost >= requested.first_s) & (self.lost <= end_s)]
        if self._seeks_origin and self._origin_first_s() <= self.now_s and requested.first_s < self.view.origin.start_s:
            open_starts = np.union1d(open_starts, [requested.first_s])  # the response did not report the origin
        kept = [
            part
            for a in self.uncovered
            for part in a.outside(requested.first_s, end_s, self._step)
            if ((self.lost >= part.first_s) & (self.lost <= part.last_s)).any()
        ]
        newest_s = int(self.traded[-1]) if len(self.traded) else 0
        # Buckets before the newest trade and buckets after it wait for different things.
        parts = (open_starts[open_starts < newest_s], open_starts[open_starts >= newest_s])
        kept += [self._uncovered_again(int(part[0]), int(part[-1])) for part in parts if len(part)]
        return tuple(kept[-MAX_RANGES:])

    def _uncovered_again(self, first_s: int, last_s: int) -> Uncovered:
        """These buckets as uncovered once more, now."""
        before = (
            a for a in self.uncovered if a.requested_s <= self.now_s and a.first_s <= last_s and first_s <= a.last_s
        )
        return Uncovered(first_s, last_s, self.now_s, 1 + max((a.responses for a in before), default=0))

    def trade_before_s(self, first_s: int) -> int:
        """Start of the last candle with trades before `first_s`; the ring's edge if none is certain."""
        before = self.certain(0, first_s)
        return int(before["start_s"][-1]) if len(before) else self.edge_s

    @property
    def open_s(self) -> int:
        """Start of the open bucket."""
        return self.timeframe.bucket(self.now_s)

    # One gap.

    def _due_again_s(self, uncovered: Uncovered) -> float:
        """When an uncovered range is requested again: sooner if a response may cover it now."""
        if uncovered.requested_s > self.now_s:
            return self.now_s
        settles_s = [self.rules.settles_s(self.timeframe, uncovered.last_s)]
        behind = self.traded[self.traded > uncovered.last_s]
        if len(behind):
            trade_s, begin_s = int(behind[0]), self.trade_before_s(uncovered.first_s)
            settles_s.append(self.rules.settles_s(self.timeframe, trade_s))
            if (trade_s - begin_s) // self._step >= PAGE and (wide := spanning(self.timeframe, begin_s, trade_s)):
                settles_s.append(self.rules.settles_s(wide, wide.bucket(trade_s)))  # then a survey may end with it
        return min([uncovered.due_s, *(s for s in settles_s if s > uncovered.requested_s)])

    @property
    def _begins_here(self) -> bool:
        """Whether a response has already found nothing before the oldest candle with trades."""
        origin = self.view.origin
        return bool(origin.responses and len(self.traded) and origin.start_s == self.traded[0])

    def _origin_due_s(self) -> float:
        """When REST is next checked for candles before the origin; `NEVER_S` if it is not."""
        return self._next_origin_s() if self._seeks_origin else NEVER_S

    @property
    def _seeks_origin(self) -> bool:
        origin = self.view.origin
        return bool(origin.is_proven and origin.seen_s and len(self.traded) and origin.start_s >= self.edge_s)

    def _origin_first_s(self) -> float:
        """When the origin is checked again if every response reports it."""
        origin = self.view.origin
        return origin.seen_s + ORIGIN_DELAYS_S[origin.responses] if origin.seen_s <= self.now_s else self.now_s

    def _next_origin_s(self) -> float:
        """When the origin is checked again; later if a response since then did not report it."""
        due_s, origin_s = self._origin_first_s(), self.view.origin.start_s
        blind = [a for a in self.uncovered if due_s <= a.requested_s <= self.now_s and a.first_s < origin_s]
        return max([due_s, *(a.due_s for a in blind)])

    def _page_for(self, first_s: int, last_s: int) -> PageRequest:
        settled = self.traded[self.traded <= self.rules.settled(self.timeframe, self.now_s)]
        behind = settled[settled > last_s]
        end_s = int(behind[0]) if len(behind) else self._end_s(last_s)
        lowest_s, end_s = ending(self.timeframe, end_s)
        if last_s < lowest_s:  # too far from the next trade: reach as far after the one before as possible
            lowest_s = last_s - (PAGE - 1) * self._step
            begin_s = self._begin_s(first_s, lowest_s)
            return page(self.timeframe, begin_s, min(end_s, begin_s + (PAGE - 1) * self._step))
        oldest_s = min(first for first, last in self.due if lowest_s <= last)
        return page(self.timeframe, self._begin_s(oldest_s, lowest_s), end_s)

    def _end_s(self, last_s: int) -> int:
        """Last bucket of a page if no candle with trades is known after the gap: usually the open bucket.

        Built buckets follow the requested ones, even if not built yet: REST has some row there.
        """
        is_new = not any(a.first_s <= last_s <= a.last_s for a in self.uncovered)
        if self.built is not None and is_new:
            return min(self.open_s, last_s + ANCHOR * self._step)
        return self.open_s

    def _begin_s(self, first_s: int, lowest_s: int) -> int:
        """First bucket of a page, not before `lowest_s`, so that it has a certain candle before `first_s`; `lowest_s`
        if there is none, or if it may be wrong, too, since `first_s` is disputed."""
        first = self.view.records[self.view.records["start_s"] == first_s]
        records = self.certain(0, first_s)
        if not len(records) or is_disputed(first).any():
            return lowest_s
        newest_s = int(records["start_s"][-1])
        confirmed = records["start_s"][state_of(records) == CandleState.CONFIRMED]
        if len(confirmed) and newest_s - int(confirmed[-1]) <= ANCHOR * self._step:
            return max(lowest_s, int(confirmed[-1]))
        return max(lowest_s, newest_s)

    @property
    def _step(self) -> int:
        return self.timeframe.seconds

    @cached_property
    def _newest_requested_s(self) -> int:
        return self.rules.newest_requested(self.timeframe, self.now_s)

    @property
    def _patient_s(self) -> float:
        return self.now_s - (CHILDREN_FIRST_S if self.timeframe.contains(BASE) else 0.0)
