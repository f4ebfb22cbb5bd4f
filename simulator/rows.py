"""The rows of a response with candles: the truth, changed by the active faults."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import count

import numpy as np

from app.market.timeframes import Timeframe
from simulator import noise
from simulator.faults import Faults
from simulator.market import Candles
from simulator.rest_faults import (
    CountedCandlesFault,
    RestAlternate,
    RestEmpty,
    RestHalf,
    RestHoles,
    RestLate,
    RestOddRow,
    RestShort,
    RestStale,
)
from simulator.trade_log import TradeLog


class Rows:
    """Reads candles and applies faults. Safe to use from several threads."""

    def __init__(self, trade_log: TradeLog, faults: Faults) -> None:
        self._trade_log = trade_log
        self._faults = faults
        self._answers = count()

    def read(self, name: str, timeframe: Timeframe, first_s: int, last_s: int, now_ms: int) -> tuple[Candles, str]:
        """Candles with starts from `first_s` to `last_s`, oldest first; and the fault that changed them, or ""."""
        if not self._faults:
            return self._trade_log.candles(name, timeframe, first_s, last_s + 1, now_ms), ""
        behind_ms, note = self._behind_ms(name)
        now_ms -= behind_ms
        rows = self._trade_log.candles(name, timeframe, first_s, last_s + 1, now_ms)
        for change in (self._late, self._stale):
            changed = change(name, timeframe, rows, now_ms)
            if changed is not rows:
                rows, note = changed, note or change.__name__.replace("_", "rest_", 1)
        for kind, left in _LEFT.items():
            fault = self._faults.take(kind, lambda fault: fault.is_about(name, timeframe))
            if fault is not None:
                rows, note = left(fault, rows, next(self._answers)), note or fault.fault
        return rows, note

    def spoil(self, name: str, timeframe: Timeframe, candles: list[dict[str, str]]) -> str:
        """Make a row of `candles` odd if a fault requests it. Returns the fault's name, or ""."""
        odd = self._faults.take(RestOddRow, lambda fault: fault.is_about(name, timeframe)) if candles else None
        if odd is None:
            return ""
        row = candles[min(odd.bucket, len(candles) - 1)]
        match odd.kind:
            case "zero_low":
                row["low"] = "0"
            case "exponent":
                row["volume"] = f"{Decimal(row['volume']):E}"
            case "missing_field":
                del row["close"]
            case "text":
                row["high"] = "n/a"
        return odd.fault

    def _behind_ms(self, name: str) -> tuple[int, str]:
        """Milliseconds by which the responding server is behind, and the fault that causes it."""
        two = self._faults.find(RestAlternate, lambda fault: fault.product in (None, name))
        if two is None or next(self._answers) % 2 == 0:
            return 0, ""
        return int(two.seconds * 1000), two.fault

    def _late(self, name: str, timeframe: Timeframe, rows: Candles, now_ms: int) -> Candles:
        late = self._faults.find(RestLate, lambda fault: fault.product in (None, name))
        if late is None:
            return rows
        ends_ms = (rows["start_s"] + timeframe.seconds) * 1000
        shown = ends_ms + late.seconds * 1000 <= now_ms
        if late.shows_open:
            shown |= ends_ms > now_ms
        return rows if shown.all() else rows[shown]

    def _stale(self, name: str, timeframe: Timeframe, rows: Candles, now_ms: int) -> Candles:
        stale = self._faults.find(RestStale, lambda fault: fault.product in (None, name))
        newest = timeframe.last_over(now_ms / 1000)
        if stale is None or newest + timeframe.seconds + stale.seconds <= now_ms / 1000:
            return rows
        half_ms = newest * 1000 + timeframe.seconds * 500
        early = self._trade_log.candles(name, timeframe, newest, newest + 1, half_ms)
        if not len(early):
            return rows
        rows = rows.copy()
        rows[rows["start_s"] == newest] = early[0]
        return rows


def with_empty_rows(rows: Candles, timeframe: Timeframe) -> Candles:
    """`rows` (oldest first), and between them a row without volume for each bucket without trades."""
    if not len(rows):
        return rows
    starts = np.arange(rows["start_s"][0], rows["start_s"][-1] + 1, timeframe.seconds)
    before = np.searchsorted(rows["start_s"], starts, side="right") - 1
    filled = rows[before]
    empty = filled["start_s"] != starts
    for price in ("open", "high", "low"):
        filled[price][empty] = filled["close"][empty]
    filled["volume"][empty] = 0
    filled["start_s"] = starts
    return filled


def _short(fault: CountedCandlesFault, rows: Candles, _: int) -> Candles:
    assert isinstance(fault, RestShort)
    return rows[-fault.rows :] if fault.keep == "newest" else rows[: fault.rows]


def _empty(_: CountedCandlesFault, rows: Candles, __: int) -> Candles:
    return rows[:0]


def _half(_: CountedCandlesFault, rows: Candles, __: int) -> Candles:
    rows = rows.copy()
    rows["volume"] = np.maximum(1, rows["volume"] // 2)
    return rows


def _holes(fault: CountedCandlesFault, rows: Candles, answer: int) -> Candles:
    assert isinstance(fault, RestHoles)
    return rows[noise.uniform(noise.key_of(answer, "holes"), rows["start_s"]) >= fault.rate]


_LEFT: dict[type[CountedCandlesFault], Callable[[CountedCandlesFault, Candles, int], Candles]] = {
    RestShort: _short,
    RestEmpty: _empty,
    RestHalf: _half,
    RestHoles: _holes,
}
"""The rows that each counted fault leaves; the last argument is the response's number."""
