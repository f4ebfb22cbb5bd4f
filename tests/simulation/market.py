"""The truth: every trade of every product, made from the seed before anything runs. Pure.

A bucket of five minutes has up to three trades. Prices have two decimals and volumes three binary digits, so sums are
exact and candles can be compared for equality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

STEP_S = 300
DAY_S = 86_400
MAX_TRADES = 3


class Bar(NamedTuple):
    """The candle of a bucket with trades."""

    start_s: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Columns(NamedTuple):
    """Bars of one timeframe, one for each bucket since the start of the trade log; `traded`: which of them exist."""

    traded: npt.NDArray[np.bool_]
    open: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]
    volume: npt.NDArray[np.float64]


class TradeLog:
    """All trades of one product, from `first_s` (midnight UTC) on.

    `activity`: probability that a bucket has trades; `quiet`: spans (UNIX seconds) without trades.
    """

    def __init__(
        self, name: str, first_s: int, days: int, activity: float, quiet: Sequence[tuple[float, float]] = ()
    ) -> None:
        chance = np.random.default_rng(crc32(name.encode()))
        count = days * DAY_S // STEP_S
        self.first_s = first_s
        self.end_s = first_s + days * DAY_S
        self._offsets_ms = np.sort(chance.integers(0, STEP_S * 1000, (count, MAX_TRADES)), axis=1)
        last = chance.random(count) < 0.15  # in the last second, to test closes
        self._offsets_ms[last, MAX_TRADES - 1] = STEP_S * 1000 - 1 - chance.integers(0, 900, int(last.sum()))
        self._offsets_ms.sort(axis=1)
        cents = np.cumsum(chance.integers(-30, 31, count * MAX_TRADES)).reshape(count, MAX_TRADES)
        self._prices = np.round((200_000 + cents) / 100, 2)
        self._sizes = chance.integers(1, 81, (count, MAX_TRADES)) / 8
        trades = np.where(chance.random(count) < activity, chance.integers(1, MAX_TRADES + 1, count), 0)
        starts = first_s + STEP_S * np.arange(count)
        for begin_s, finish_s in quiet:
            trades[(starts + STEP_S > begin_s) & (starts < finish_s)] = 0
        # A bucket uses the last of its three possible trades, so some are at its very end.
        self._is_there = np.arange(MAX_TRADES) >= MAX_TRADES - trades[:, None]
        self._base = _bars_of(self._is_there, self._prices, self._sizes)
        self._longer: dict[int, Columns] = {STEP_S: self._base}
        self.revision = 0

    def columns(self, step_s: int) -> Columns:
        """All bars of a timeframe."""
        if step_s not in self._longer:
            self._longer[step_s] = _longer(self._base, step_s // STEP_S)
        return self._longer[step_s]

    def bars(self, step_s: int, first_s: int, last_s: int) -> list[Bar]:
        """The bars with trades of the buckets from `first_s` to `last_s` (starts, inclusive), oldest first."""
        columns, low = self.columns(step_s), max(0, (first_s - self.first_s) // step_s)
        high = max(low, (last_s - self.first_s) // step_s + 1)
        there = low + np.flatnonzero(columns.traded[low:high])
        starts = (self.first_s + there * step_s).tolist()
        return [
            Bar(s, *row)
            for s, row in zip(starts, zip(*(c[there].tolist() for c in columns[1:]), strict=True), strict=True)
        ]

    def close_before(self, start_s: int) -> float | None:
        """The last price before `start_s`, the start of a bucket of five minutes, or None."""
        there = np.flatnonzero(self._base.traded[: max(0, (start_s - self.first_s) // STEP_S)])
        return float(self._base.close[there[-1]]) if len(there) else None

    def partial(self, step_s: int, at_ms: int, since_ms: int = 0) -> Bar | None:
        """The bar of the bucket that is open at `at_ms`, of its trades since `since_ms`, or None."""
        start_s = at_ms // 1000 // step_s * step_s
        trades = [t for i in self._buckets(start_s, at_ms) for t in self._trades_of(i) if since_ms <= t[0] <= at_ms]
        if not trades:
            return None
        prices = [price for _, price, _ in trades]
        return Bar(start_s, prices[0], max(prices), min(prices), prices[-1], sum(size for *_, size in trades))

    def trades_after(self, at_ms: int) -> Iterator[int]:
        """The moments (UNIX ms) of all trades after `at_ms`."""
        for i in range(max(0, (at_ms // 1000 - self.first_s) // STEP_S), len(self._is_there)):
            yield from (moment for moment, _, _ in self._trades_of(i) if moment > at_ms)

    def has_traded(self, step_s: int, start_s: int, at_ms: int) -> bool:
        """Whether there are trades in the bucket `start_s` by `at_ms`."""
        i = (start_s - self.first_s) // step_s
        traded = self.columns(step_s).traded
        if not 0 <= i < len(traded) or not traded[i]:
            return False
        return at_ms >= (start_s + step_s) * 1000 or self.partial(step_s, at_ms) is not None

    def revise(self, start_s: int, more: float) -> bool:
        """Add volume and change the last price of a finished bucket. Returns False if it had no trades."""
        i = (start_s - self.first_s) // STEP_S
        if not self._base.traded[i]:
            return False
        self._base.volume[i] += more
        self._base.close[i] = self._base.low[i]
        self._longer = {STEP_S: self._base}
        self.revision += 1
        return True

    def bar(self, start_s: int) -> Bar | None:
        """The whole bar of a bucket of five minutes."""
        found = self.bars(STEP_S, start_s, start_s)
        return found[0] if found else None

    def _buckets(self, start_s: int, at_ms: int) -> range:
        return range((start_s - self.first_s) // STEP_S, (at_ms // 1000 - self.first_s) // STEP_S + 1)

    def _trades_of(self, i: int) -> list[tuple[int, float, float]]:
        if not 0 <= i < len(self._is_there):
            return []
        begin_ms = (self.first_s + i * STEP_S) * 1000
        columns = (self._is_there, self._offsets_ms, self._prices, self._sizes)
        rows = zip(*(column[i].tolist() for column in columns), strict=True)
        return [(begin_ms + offset, price, size) for there, offset, price, size in rows if there]


def _bars_of(there: npt.NDArray[np.bool_], prices: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> Columns:
    rows, first = np.arange(len(there)), there.argmax(axis=1)
    return Columns(
        there.any(axis=1),
        prices[rows, first],
        np.where(there, prices, -np.inf).max(axis=1),
        np.where(there, prices, np.inf).min(axis=1),
        prices[:, -1].copy(),
        np.where(there, sizes, 0).sum(axis=1),
    )


def _longer(base: Columns, size: int) -> Columns:
    whole = len(base.traded) // size * size
    traded, opened, high, low, close, volume = (column[:whole].reshape(-1, size) for column in base)
    rows = np.arange(len(traded))
    return Columns(
        traded.any(axis=1),
        opened[rows, traded.argmax(axis=1)],
        np.where(traded, high, -np.inf).max(axis=1),
        np.where(traded, low, np.inf).min(axis=1),
        close[rows, size - 1 - traded[:, ::-1].argmax(axis=1)],
        np.where(traded, volume, 0).sum(axis=1),
    )


@lru_cache(maxsize=100_000)
def text_of(bar: Bar) -> bytes:
    """The row of REST, as JSON."""
    start_s, opened, high, low, close, volume = bar
    return (
        f'{{"start":"{start_s}","low":"{low}","high":"{high}","open":"{opened}","close":"{close}","volume":"{volume}"}}'
    ).encode()
