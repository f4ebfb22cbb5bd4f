"""The candle snapshot after a subscription: never contiguous, so unusable as history."""

from __future__ import annotations

import numpy as np

from app.market.timeframes import Timeframe
from simulator import noise
from simulator.faults import Faults
from simulator.frames import CandleValues
from simulator.market import Candles, candles_of
from simulator.options import Options
from simulator.stream_faults import Snapshot
from simulator.ticker import STEP_MS, STEP_S
from simulator.trade_log import TradeLog

MAX_CANDLES = 100
_FAR_BUCKETS = 360
"""Reach of the snapshot of a product with few trades."""


class CandleSnapshots:
    """Builds snapshots according to the options and the active faults."""

    def __init__(self, trade_log: TradeLog, options: Options, faults: Faults) -> None:
        self._trade_log = trade_log
        self._options = options
        self._faults = faults
        self.zero_ms = 0
        """Trades before this do not count in the bucket that was open then: the server has restarted."""

    def read(self, product: str, now_ms: int) -> list[CandleValues]:
        """At most 100 of the newest candles of `product`, as of the exchange time `now_ms`."""
        hole_rate, order, includes_open = self._manner()
        near = min(_FAR_BUCKETS, int(MAX_CANDLES / max(0.01, 1 - hole_rate)) + 20)
        candles = _with_holes(self._newest(product, near, now_ms), hole_rate)
        if len(candles) < MAX_CANDLES and near < _FAR_BUCKETS:
            candles = _with_holes(self._newest(product, _FAR_BUCKETS, now_ms), hole_rate)
        if not includes_open:
            candles = candles[candles["start_s"] < now_ms // STEP_MS * STEP_S]
        return _ordered(candles[-MAX_CANDLES:], order)

    def _manner(self) -> tuple[float, str, bool]:
        options, fault = self._options, self._faults.find(Snapshot) or Snapshot(fault="snapshot")
        return (
            options.snapshot_hole_rate if fault.hole_rate is None else fault.hole_rate,
            fault.order or options.snapshot_order,
            options.snapshot_includes_open if fault.includes_open is None else fault.includes_open,
        )

    def _newest(self, product: str, buckets: int, now_ms: int) -> Candles:
        end_s = now_ms // STEP_MS * STEP_S + STEP_S
        candles = self._trade_log.candles(product, Timeframe.M5, end_s - buckets * STEP_S, end_s, now_ms)
        open_s = end_s - STEP_S
        if not open_s * 1000 < self.zero_ms < end_s * 1000:
            return candles
        since = candles_of(self._trade_log.trades(product, self.zero_ms, now_ms + 1), STEP_S)
        return np.concatenate((candles[candles["start_s"] < open_s], since))


def _with_holes(candles: Candles, rate: float) -> Candles:
    """`candles` without a share `rate` of their buckets: the same ones for every product, never the newest."""
    if not len(candles):
        return candles
    kept = noise.uniform(1, candles["start_s"] // STEP_S) >= rate
    kept[-1] = True
    return candles[kept]


def _ordered(candles: Candles, order: str) -> list[CandleValues]:
    if order == "shuffled":
        candles = candles[np.argsort(noise.uniform(2, candles["start_s"]))]
    rows: list[CandleValues] = candles.tolist()
    return rows[::-1] if order == "newest" else rows
