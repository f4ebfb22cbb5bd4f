"""What a MACD-V rests on, whether that is enough, and how far it may be from the value on the whole history.

Averages forget their seed: after m more values (1 − 2/(n+1))^m of it is left in an EMA, and (25/26)^m in ATR. So the
error of starting in the middle of the history is what the seeds may be off, faded by this much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from app.indicators.macdv import ATR, FAST, SLOW, Floats, MacdvSeries, Smoothing, true_range
from app.records import Records, has_trades
from app.settings import MIN_CANDLES
from app.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class Readiness:
    """What the newest value of a series rests on.

    `bars`: how many, `traded` of them with trades; `contiguous`: without a bucket missing in between. `reason`: why it
    is not ready. `error`: an estimate, in points of MACD-V, of its greatest distance from the value on the whole
    history; None where it is not ready.
    """

    bars: int
    traded: int
    contiguous: bool
    ready: bool
    reason: str | None
    error: float | None


def readiness_of(records: Records, values: MacdvSeries, timeframe: Timeframe) -> Readiness:
    """What the newest of `values`, computed from `records` (of `timeframe`, oldest first), rests on."""
    starts = records["start_s"].astype(np.int64)
    holes = int(np.count_nonzero(np.diff(starts) != timeframe.seconds))
    traded = int(np.count_nonzero(has_trades(records)))
    reason = _reason(len(records), holes, traded, values)
    return Readiness(
        bars=len(records),
        traded=traded,
        contiguous=not holes,
        ready=reason is None,
        reason=reason,
        error=_error(records, values) if reason is None else None,
    )


def _reason(bars: int, holes: int, traded: int, values: MacdvSeries) -> str | None:
    if bars < MIN_CANDLES:
        return f"too few candles: {bars} of {MIN_CANDLES}"
    if holes:
        return f"not contiguous: buckets are missing in {holes} place{'s' if holes > 1 else ''}"
    if traded < ATR.n:
        return f"too little trading: {traded} of {ATR.n} bars with trades"
    if np.isnan(values.macdv[-1]):
        return "flat price: the average true range is zero"
    return None


def _error(records: Records, values: MacdvSeries) -> float:
    """An estimate of the warm-up's error.

    It is a bound if, at their seeds, the true averages were within what `records` show: the EMAs between the lowest and
    the highest price, ATR not above the greatest true range. That can fail where the market changed completely before.
    """
    traded = has_trades(records)
    ranges = true_range(records["high"], records["low"], records["close"])[traded]
    atr, seed = float(values.atr[-1]), float(ranges[: ATR.n].mean())
    left = _left(ATR, len(ranges))
    # Of the true ATR at the seed at least this part is known: the true ranges since, the history before taken as zero.
    known = float(ranges[: ATR.n] @ (ATR.alpha * (1 - ATR.alpha) ** np.arange(ATR.n - 1, -1, -1)))
    least, most = atr - left * (seed - known), max(atr, atr + left * (float(ranges.max()) - seed))

    averages = _off(FAST, values.fast_ema, records) + _off(SLOW, values.slow_ema, records)
    return float(100 * averages / least + abs(values.macdv[-1]) * max(atr / least - 1, 1 - atr / most))


def _off(smoothing: Smoothing, ema: Floats, records: Records) -> float:
    """How far the newest value of `ema` may be off: the distance of its seed from any price, faded."""
    seed = ema[smoothing.n - 1]
    distance = max(records["high"].max() - seed, seed - records["low"].min())
    return float(distance * _left(smoothing, len(records)))


def _left(smoothing: Smoothing, values: int) -> float:
    """What is left of a seed after `values` values, those of the seed included."""
    return float((1 - smoothing.alpha) ** (values - smoothing.n))
