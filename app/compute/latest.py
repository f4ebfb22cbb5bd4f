"""The newest value of each series as it is stored and published: the numbers and their basis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from app.indicators.macdv import MacdvArrays, MacdvBatch
from app.indicators.readiness import Readiness, newest_of, readiness_of_batch
from app.indicators.stages import STAGES
from app.market.candles import LABELS
from app.market.records import PROVISIONAL, STATE_MASK, Records, joined
from app.market.series import Series
from app.wire.indicators import Doubts, Indicator, MacdvValues


def latest_values(many: Sequence[Series], tails: Sequence[Records], computed: MacdvBatch) -> list[Indicator | None]:
    """The value of the newest bar of each series; None for a series without a bar.

    `tails`: contiguous closed candles of each series, oldest first; `computed`: their values.
    """
    found = readiness_of_batch(tails, computed.columns, computed.values, [series.timeframe for series in many])
    lengths = np.array([readiness.bars for readiness in found])
    numbers = zip(*(newest_of(column, lengths).tolist() for column in computed.values), strict=True)
    stages = newest_of(computed.stages, lengths).tolist()
    bars = iter(joined(tail[-1:] for tail in tails).tolist())
    return [
        _value(series, next(bars), of_bar, stage, readiness, tail) if readiness.bars else None
        for series, of_bar, stage, readiness, tail in zip(many, numbers, stages, found, tails, strict=True)
    ]


def _value(
    series: Series, bar: tuple[Any, ...], numbers: Sequence[float], stage: int, readiness: Readiness, tail: Records
) -> Indicator:
    start_s, flags, *_, close, _ = bar
    known: MacdvValues = {}
    if readiness.ready:
        known = cast(
            MacdvValues, {n: number for n, number in zip(MacdvArrays._fields, numbers, strict=True) if number == number}
        )
        if (name := STAGES[stage]) is not None:
            known["stage"] = name
    doubts: Doubts = {}
    if flags & PROVISIONAL:
        doubts["provisional"] = _provisional(tail)
    if readiness.reason is not None:
        doubts["reason"] = readiness.reason
    if readiness.error is not None:
        doubts["error"] = readiness.error
    return {
        "exchange": series.exchange,
        "product": series.product,
        "timeframe": series.timeframe,
        "start": start_s,
        "close": close,
        **known,
        "ready": readiness.ready,
        "candles": readiness.bars,
        "traded": readiness.traded,
        **doubts,
        "state": LABELS[flags & STATE_MASK],
    }


def _provisional(tail: Records) -> int:
    """How many of the newest candles are provisional."""
    sure = (tail["flags"][::-1] & PROVISIONAL) == 0
    return int(sure.argmax()) if sure.any() else len(tail)
