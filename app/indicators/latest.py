"""The newest value of a series as it is stored and published: the numbers, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.candles import LABELS
from app.indicators.macdv import MacdvBatch, MacdvSeries
from app.indicators.readiness import Readiness, readiness_of_batch
from app.records import STATE_MASK, Records
from app.timeframes import Timeframe

NUMBERS = ("macdv", "signal", "histogram", "fast_ema", "slow_ema", "atr", "stage")
"""What a value that is ready has, as far as it exists."""


def latest_values(
    tails: Sequence[Records], timeframes: Sequence[Timeframe], computed: MacdvBatch
) -> list[dict[str, Any] | None]:
    """The JSON-able value of the newest bar of each series; None for a series without a bar.

    `tails`: closed candles without a hole, oldest first, of `timeframes`; `computed`: their values. Numbers that do not
    exist yet are absent. `candles`: how many it rests on; `error`: how far from the value on the whole history it may
    be, in points.
    """
    found = readiness_of_batch(tails, computed, timeframes)
    return [
        _value(tail, series, readiness) if len(tail) else None
        for tail, series, readiness in zip(tails, computed.series, found, strict=True)
    ]


def _value(tail: Records, series: MacdvSeries, readiness: Readiness) -> dict[str, Any]:
    point, newest = series.point(-1), tail[-1]
    value: dict[str, Any] = {"start": point.start_s, "close": float(newest["close"])}
    if readiness.ready:
        value |= {name: number for name in NUMBERS if (number := getattr(point, name)) is not None}
    value |= {"ready": readiness.ready, "candles": readiness.bars, "traded": readiness.traded}
    if readiness.reason is not None:
        value["reason"] = readiness.reason
    if readiness.error is not None:
        value["error"] = readiness.error
    return value | {"state": LABELS[int(newest["flags"]) & STATE_MASK]}
