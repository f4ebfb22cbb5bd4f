"""24-hour figures and a plausible order book, for listings, tickers and books."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from simulator import noise
from simulator.market import Product, Trades
from simulator.trade_log import TradeLog

DAY_MS = 86_400_000
MAX_AGE_S = 10.0
"""Real seconds for which 24-hour figures are cached."""

Level = tuple[int, int]
"""Price and size, in units."""


@dataclass(frozen=True, slots=True)
class Day:
    """A product's last 24 hours, in its units. All zero if it had no trade."""

    volume: int = 0
    low: int = 0
    high: int = 0
    first: int = 0
    last: int = 0

    @property
    def change_percent(self) -> str:
        return f"{(self.last / self.first - 1) * 100:.14f}".rstrip("0").rstrip(".") if self.first else "0"

    def quote_volume(self, product: Product) -> str:
        value = self.volume * self.last / 10 ** (product.size_decimals + product.price_decimals)
        return f"{value:.2f}".rstrip("0").rstrip(".")


class DayStats:
    """The last 24 hours of each product, cached for `MAX_AGE_S`."""

    def __init__(self, trade_log: TradeLog, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._trade_log = trade_log
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, int, Day]] = {}

    def day(self, product: str, now_ms: int) -> Day:
        at, then_ms, day = self._kept.get(product, (float("-inf"), 0, Day()))
        if self._monotonic() - at > MAX_AGE_S or not then_ms <= now_ms < then_ms + DAY_MS:
            day = _day(self._trade_log.trades(product, now_ms - DAY_MS, now_ms + 1))
            self._kept[product] = (self._monotonic(), now_ms, day)
        return day


def _day(trades: Trades) -> Day:
    if not len(trades):
        return Day()
    price = trades.price
    return Day(int(trades.size.sum()), int(price.min()), int(price.max()), int(price[0]), int(price[-1]))


def book(price: int, depth: int, unit: int) -> tuple[list[Level], list[Level]]:
    """Bids and asks around `price`, best first; sizes around `unit`. Made up, but a function of the price."""
    step = max(1, price // 20_000)
    distance = np.arange(1, depth + 1, dtype=np.int64) * step
    sizes = (noise.uniform(price, np.arange(2 * depth, dtype=np.int64)) * unit).astype(np.int64) + 1
    bids = [
        (p, s) for p, s in zip((price - distance + step - 1).tolist(), sizes[:depth].tolist(), strict=True) if p > 0
    ]
    asks = list(zip((price + distance).tolist(), sizes[depth:].tolist(), strict=True))
    return bids, asks
