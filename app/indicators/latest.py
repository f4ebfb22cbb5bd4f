"""The newest value of a series as it is stored and published: the numbers and their basis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.indicators.macdv import MacdvArrays, MacdvBatch
from app.indicators.readiness import Readiness, newest_of, readiness_of_batch
from app.indicators.stages import STAGES
from app.market.candles import LABELS
from app.market.records import PROVISIONAL, STATE_MASK, Records, joined
from app.market.timeframes import Timeframe

NUMBERS = MacdvArrays._fields
"""Numbers of a ready value, as far as they exist."""


def latest_values(
    tails: Sequence[Records], timeframes: Sequence[Timeframe], computed: MacdvBatch
) -> list[dict[str, Any] | None]:
    """The JSON-able value of the newest bar of each series; None for a series without a bar.

    `tails`: contiguous closed candles, oldest first, of `timeframes`; `computed`: their values. Numbers that do not
    exist yet are absent. `candles`: number of candles used; `provisional`: how many of the newest are, absent if none
    is; `error`: how far the value may be from that on the whole history, in points.
    """
    found = readiness_of_batch(tails, computed.columns, computed.values, timeframes)
    lengths = np.array([readiness.bars for readiness in found])
    numbers = zip(*(newest_of(column, lengths).tolist() for column in computed.values), strict=True)
    stages = newest_of(computed.stages, lengths).tolist()
    bars = iter(joined(tail[-1:] for tail in tails).tolist())
    return [
        _value(next(bars), of_bar, stage, readiness, tail) if readiness.bars else None
        for of_bar, stage, readiness, tail in zip(numbers, stages, found, tails, strict=True)
    ]


def _value(
    bar: tuple[Any, ...], numbers: Sequence[float], stage: int, readiness: Readiness, tail: Records
) -> dict[str, Any]:
    start_s, flags, *_, close, _ = bar
    value: dict[str, Any] = {"start": start_s, "close": close}
    if readiness.ready:
        value |= {name: number for name, number in zip(NUMBERS, numbers, strict=True) if number == number}
        if (name := STAGES[stage]) is not None:
            value["stage"] = name
    value |= {"ready": readiness.ready, "candles": readiness.bars, "traded": readiness.traded}
    if flags & PROVISIONAL:
        value["provisional"] = _provisional(tail)
    if readiness.reason is not None:
        value["reason"] = readiness.reason
    if readiness.error is not None:
        value["error"] = readiness.error
    value["state"] = LABELS[flags & STATE_MASK]
    return value


def _provisional(tail: Records) -> int:
    """How many of the newest candles are provisional."""
    sure = (tail["flags"][::-1] & PROVISIONAL) == 0
    return int(sure.argmax()) if sure.any() else len(tail)
