"""A market for benchmarks: every product trades in every bucket, never near its end, and has any required history."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.market.candles import CandleState
from app.market.records import RECORD, Records
from app.market.timeframes import Timeframe
from simulator.market import Product, Trades

EVERY_MS = 100_000
"""Time between two trades of a product; the first trade of a bucket is half of this after its start."""

DECIMALS = 4

PERIODS_S = 137.0 * 1.9 ** np.arange(12)
"""Periods of the swings; longer swings are wider, by the square root of their period."""


class BusyMarket:
    """`count` products whose prices swing in many periods, from minutes to days: nearly a random walk."""

    def __init__(self, count: int) -> None:
        self._products = {name: Product(name, DECIMALS) for name in (f"P{n:04d}-USD" for n in range(count))}
        self._phases = np.random.default_rng(1).uniform(0, 2 * np.pi, (count, len(PERIODS_S)))

    @property
    def products(self) -> Mapping[str, Product]:
        return self._products

    def trades(self, product: str, start_ms: int, end_ms: int) -> Trades:
        ids = np.arange(_number(start_ms), _number(end_ms), dtype=np.int64)
        times = ids * EVERY_MS + EVERY_MS // 2
        size = 10**8 + ids % 7 * 10**7
        return Trades(times, self._units(product, times), size, ids, ids % 2 == 0)

    def price(self, product: str, time_ms: int) -> float:
        return float(self._units(product, np.array([time_ms]))[0]) / 10**DECIMALS

    def _units(self, product: str, times_ms: np.ndarray) -> np.ndarray:
        turns = times_ms[:, None] / 1000 / PERIODS_S * 2 * np.pi + self._phases[int(product[1:5])]
        swings = (0.0005 * np.sqrt(PERIODS_S / 300) * np.sin(turns)).sum(axis=1)
        return np.rint(100 * np.exp(swings) * 10**DECIMALS).astype(np.int64)


def _number(time_ms: int) -> int:
    """Trades before `time_ms`, since 1970."""
    return (time_ms + EVERY_MS // 2 - 1) // EVERY_MS


def past(timeframe: Timeframe, last_s: int, count: int, close: float, seed: int) -> Records:
    """`count` confirmed candles up to the bucket `last_s`: a random walk that arrives at `close`."""
    step, random = timeframe.seconds, np.random.default_rng(seed)
    moves = random.normal(0, 0.001 * (step / 300) ** 0.5, count)
    closes = close * np.exp(np.cumsum(moves[::-1])[::-1] * -1 + moves[-1])
    records = np.zeros(count, RECORD)
    records["start_s"] = last_s - step * np.arange(count - 1, -1, -1)
    records["flags"], records["observed_ms"] = (
        CandleState.CONFIRMED,
        (records["start_s"].astype(np.uint64) + step) * 1000,
    )
    records["open"], records["close"] = np.concatenate([closes[:1], closes[:-1]]), closes
    spread = 1 + 0.0005 * (step / 300) ** 0.5 * random.random(count)
    records["high"] = np.maximum(records["open"], closes) * spread
    records["low"] = np.minimum(records["open"], closes) / spread
    records["volume"] = 1
    return records
