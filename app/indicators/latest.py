"""The newest value of a series as it is stored and published: the numbers, and what they rest on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.candles import State
from app.indicators.macdv import MacdvSeries, macdv_of_many
from app.indicators.readiness import readiness_of
from app.records import Records, state_of
from app.timeframes import Timeframe


def latest_values(
    tails: Sequence[Records], timeframes: Sequence[Timeframe], computed: Sequence[MacdvSeries] | None = None
) -> list[dict[str, Any] | None]:
    """The JSON-able value of the newest bar of each series; None for a series without a bar.

    `tails`: closed candles without a hole, oldest first, of `timeframes`. Numbers that do not exist yet are absent.
    `candles`: how many it rests on; `error`: how far from the value on the whole history it may be, in points.
    `computed`: the values of `tails`, where the caller has them.
    """
    values = macdv_of_many(tails) if computed is None else computed
    return [
        _value(tail, series, timeframe) if len(tail) else None
        for tail, series, timeframe in zip(tails, values, timeframes, strict=True)
    ]


def _value(tail: Records, series: Any, timeframe: Timeframe) -> dict[str, Any]:
    readiness = readiness_of(tail, series, timeframe)
    numbers = asdict(series.point(-1))
    value: dict[str, Any] = {"start": numbers.pop("start_s"), "close": float(tail["close"][-1])}
    if readiness.ready:
        value |= {name: number for name, number in numbers.items() if number is not None}
    value |= {"ready": readiness.ready, "candles": readiness.bars, "traded": readiness.traded}
    if readiness.reason is not None:
        value["reason"] = readiness.reason
    if readiness.error is not None:
        value["error"] = readiness.error
    return value | {"state": State(int(state_of(tail[-1:])[0])).label}
