"""Decides whether a MACD-V is ready, and how far it may be from the value on the whole history.

Averages forget their seed: after m more values (1 − 2/(n+1))^m of it is left in an EMA, and (25/26)^m in ATR. So the
error of starting in the middle of the history is the error of the seeds times this factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from app.indicators.macdv import ATR, FAST, SLOW, Bools, Columns, Floats, MacdvArrays, Smoothing
from app.indicators.window import MIN_CANDLES
from app.market.carry_forward import gaps_in
from app.market.records import Records
from app.market.timeframes import Timeframe


class Readiness(NamedTuple):
    """The basis of the newest value of a series.

    `bars`: number of bars, `traded` of them with trades. `reason`: why it is not ready. `error`: an estimate, in points
    of MACD-V, of its greatest distance from the value on the whole history; None if it is not ready.
    """

    bars: int
    traded: int
    ready: bool
    reason: str | None
    error: float | None


def readiness_of_batch(
    batch: Sequence[Records], columns: Columns, values: MacdvArrays, timeframes: Sequence[Timeframe]
) -> list[Readiness]:
    """Readiness of the newest value of each series of `batch`, bit for bit as if alone.

    `columns`, `values`: of the batch. `timeframes`: of its series.
    """
    lengths = np.array([len(records) for records in batch])
    traded = columns.traded & (np.arange(columns.traded.shape[1]) < lengths[:, None])
    counts: list[int] = traded.sum(axis=1).tolist()
    places = [_holes(records, timeframe) for records, timeframe in zip(batch, timeframes, strict=True)]
    newest = newest_of(values.macdv, lengths).tolist()
    reasons = [_reason(len(r), h, t, v) for r, h, t, v in zip(batch, places, counts, newest, strict=True)]
    ready = [i for i, reason in enumerate(reasons) if reason is None]
    errors = dict(zip(ready, _errors(columns, values, traded, lengths, ready), strict=True))
    return [
        Readiness(len(r), t, reason is None, reason, errors.get(i))
        for i, (r, t, reason) in enumerate(zip(batch, counts, reasons, strict=True))
    ]


def newest_of(column: npt.NDArray[Any], lengths: npt.NDArray[np.integer[Any]]) -> npt.NDArray[Any]:
    """`column` (series × bars, left-aligned) at the last bar of each series; undefined if there is none."""
    if not column.shape[1]:
        return np.zeros(len(column), column.dtype)
    newest: npt.NDArray[Any] = column[np.arange(len(column)), lengths - 1]
    return newest


def _holes(records: Records, timeframe: Timeframe) -> int:
    """Number of places with missing buckets."""
    if not gaps_in(records, timeframe):
        return 0
    return int(np.count_nonzero(np.diff(records["start_s"].astype(np.int64)) != timeframe.seconds))


def _reason(bars: int, holes: int, traded: int, newest: float) -> str | None:
    if bars < MIN_CANDLES:
        return f"too few candles: {bars} of {MIN_CANDLES}"
    if holes:
        return f"not contiguous: buckets are missing in {holes} place{'s' if holes > 1 else ''}"
    if traded < ATR.n:
        return f"too little trading: {traded} of {ATR.n} bars with trades"
    if newest != newest:
        return "flat price: the average true range is zero or nearly zero"
    return None


def _errors(
    columns: Columns, values: MacdvArrays, traded: Bools, lengths: npt.NDArray[np.integer[Any]], ready: list[int]
) -> list[float]:
    """An estimate of the warm-up error of each of the `ready` series; `traded`: true for bars with trades only.

    It is a bound if, at their seeds, the true averages were within the range of the bars: EMAs between the lowest and
    the highest price, ATR not above the greatest true range. That can fail if the market changed completely before.
    """
    if not ready:
        return []
    rows = ready if len(ready) < len(lengths) else slice(None)  # no copy of all
    _, high, low, true_range, _ = (column[rows] for column in columns)
    values = MacdvArrays(*(column[rows] for column in values))
    traded, lengths = traded[rows], lengths[rows]
    ranges = np.where(traded, true_range, 0)
    seeds = ranges[:, : ATR.n]
    if not traded[:, : ATR.n].all():  # ATR's seed is the mean of the first bars with trades
        first = np.argsort(~traded, axis=1, kind="stable")[:, : ATR.n]
        seeds = np.take_along_axis(ranges, first, axis=1)
    atr, seed = newest_of(values.atr, lengths), seeds.mean(axis=1)
    left = _left(ATR, traded.sum(axis=1))
    # The known part of the true ATR at the seed: the true ranges of the seed, with the history before taken as zero.
    known = (seeds * (ATR.alpha * (1 - ATR.alpha) ** np.arange(ATR.n - 1, -1, -1))).sum(axis=1)
    least, most = atr - left * (seed - known), np.maximum(atr, atr + left * (ranges.max(axis=1) - seed))

    highest, lowest = np.fmax.reduce(high, axis=1), np.fmin.reduce(low, axis=1)
    averages: Floats = np.zeros(len(ready))
    for smoothing, average in ((FAST, values.fast_ema), (SLOW, values.slow_ema)):
        start = average[:, smoothing.n - 1]
        # The newest value may be off by the distance of its seed from any price, faded.
        averages = averages + np.maximum(highest - start, start - lowest) * _left(smoothing, lengths)
    macdv = newest_of(values.macdv, lengths)
    off = 100 * averages / least + np.abs(macdv) * np.maximum(atr / least - 1, 1 - atr / most)
    errors: list[float] = off.tolist()
    return errors


def _left(smoothing: Smoothing, values: npt.NDArray[np.integer[Any]]) -> Floats:
    """The part of a seed left after this many `values`, including the seed's."""
    faded: Floats = np.float64(1 - smoothing.alpha) ** (values - smoothing.n)
    return faded
