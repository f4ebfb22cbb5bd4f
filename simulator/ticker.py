"""Candle updates: which candles changed since the last call. Pure: the time is an argument."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from simulator.frames import CandleValues
from simulator.trade_log import PAGE_MS, TradeLog

STEP_S = 300
STEP_MS = STEP_S * 1000
MAX_CAUGHT_UP = 3
"""After a jump of the clock, the last states of at most this many buckets are sent."""
_AHEAD_MS = 40 * 60_000


@dataclass(slots=True)
class Track:
    """One bucket of one product: its candle after each trade, and how many of these have passed."""

    start_ms: int
    times_ms: list[int]
    states: list[CandleValues]
    position: int = 0

    def advance(self, now_ms: int) -> CandleValues | None:
        """The candle at `now_ms`; None if it has not changed since the last call."""
        position = bisect_right(self.times_ms, now_ms, self.position)
        if position == self.position:
            return None
        self.position = position
        return self.states[position - 1]


def track(trade_log: TradeLog, product: str, start_ms: int, zero_ms: int = 0) -> Track:
    """The whole bucket that starts at `start_ms`, including future trades; without trades before `zero_ms`."""
    in_it = start_ms < zero_ms < start_ms + STEP_MS
    trades = trade_log.trades(product, zero_ms if in_it else start_ms, start_ms + STEP_MS)
    if not len(trades):
        return Track(start_ms, [], [])
    start_s, opening = start_ms // 1000, int(trades.price[0])
    columns = (
        np.maximum.accumulate(trades.price).tolist(),
        np.minimum.accumulate(trades.price).tolist(),
        trades.price.tolist(),
        np.cumsum(trades.size).tolist(),
    )
    states = [(start_s, opening, *row) for row in zip(*columns, strict=True)]
    return Track(start_ms, trades.time_ms.tolist(), states)


class CandleTicker:
    """The candles of all watched products. The next buckets are prepared ahead of time, a few at a time."""

    def __init__(self, trade_log: TradeLog) -> None:
        self._trade_log = trade_log
        self._tracks: dict[str, Track] = {}
        self._prepared: dict[str, Track] = {}
        self._ready_until_ms = 0
        self.zero_ms = 0
        """Trades before this, in the same bucket, do not count: the server has restarted."""

    def watch(self, product: str, now_ms: int) -> None:
        """Report changes of `product` after `now_ms`."""
        if product not in self._tracks:
            self._restart(product, now_ms)

    def keep(self, products: Iterable[str]) -> None:
        """Forget every product but these."""
        wanted = set(products)
        for product in [p for p in self._tracks if p not in wanted]:
            del self._tracks[product]
            self._prepared.pop(product, None)

    def restart(self, now_ms: int) -> None:
        """Start again at `now_ms`: the clock was set, or the trade log changed."""
        self._prepared.clear()
        for product in self._tracks:
            self._restart(product, now_ms)

    def _restart(self, product: str, now_ms: int) -> None:
        self._ready_until_ms = 0
        self._tracks[product] = track(self._trade_log, product, now_ms - now_ms % STEP_MS, self.zero_ms)
        self._tracks[product].advance(now_ms)

    def due(self, now_ms: int, *, final_update: bool) -> Iterator[tuple[str, CandleValues]]:
        """Each product's changed candle since the last call; a bucket's last state before the next bucket."""
        start_ms = now_ms - now_ms % STEP_MS
        for product, current in list(self._tracks.items()):
            if current.start_ms != start_ms:
                if final_update and (last := current.advance(start_ms)):
                    yield product, last
                current = yield from self._next(product, current.start_ms, start_ms, final_update)
            if values := current.advance(now_ms):
                yield product, values

    def _next(
        self, product: str, before_ms: int, start_ms: int, final_update: bool
    ) -> Generator[tuple[str, CandleValues], None, Track]:
        """Move on to the bucket `start_ms`, past skipped buckets."""
        first_ms = max(before_ms + STEP_MS, start_ms - MAX_CAUGHT_UP * STEP_MS)
        for missed_ms in range(first_ms, start_ms if final_update else 0, STEP_MS):
            if states := track(self._trade_log, product, missed_ms, self.zero_ms).states:
                yield product, states[-1]
        prepared = self._prepared.pop(product, None)
        current = prepared if prepared and prepared.start_ms == start_ms else track(self._trade_log, product, start_ms)
        self._tracks[product] = current
        return current

    def prepare(self, now_ms: int) -> Iterator[None]:
        """Work ahead: compute the next bucket of every product, and the trades of the next page.

        Each item taken does a little work, so that the caller decides when to stop.
        """
        next_ms = now_ms - now_ms % STEP_MS + STEP_MS
        if self._ready_until_ms == next_ms:
            return
        for product in list(self._tracks):
            ready = self._prepared.get(product)
            if ready is None or ready.start_ms != next_ms:
                self._prepared[product] = track(self._trade_log, product, next_ms)
                yield
        if (now_ms + _AHEAD_MS) // PAGE_MS != now_ms // PAGE_MS:
            for product in list(self._tracks):
                self._trade_log.trades(product, now_ms + _AHEAD_MS, now_ms + _AHEAD_MS + 1)
                yield
        self._ready_until_ms = next_ms
