"""MACD-V (Spiroglou, 2022): the difference of two averages of the close, in percent of the average true range.

    MACD-V = 100 · (EMA12 − EMA26) / ATR26        signal = EMA9 of MACD-V        histogram = MACD-V − signal

An EMA starts as the mean of its first n values, then moves by 2/(n+1) towards each next one. ATR is Wilder's: the mean
of the first 26 true ranges, then 1/26 towards each next one; bars without trades have no true range and repeat ATR.
MACD-V is undefined while ATR is zero; the signal starts at the first value of MACD-V.

ATR counts as zero below 1e-10 of the close. Wilder's average never reaches zero: it shrinks by 4 % at each bar that has
trades at one price. The averages of the close have rounding errors of some 1e-16 of it: below the limit, rounding
would be thousandths of a point of MACD-V, and soon hundreds of points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from app.indicators.stages import STAGES, Codes, Stage, stage_codes
from app.market.records import EMPTY, RECORD, Records, joined
from app.util.batches import batched

FAINTEST_ATR = 1e-10
"""Part of the close below which ATR counts as zero."""

BLOCK = 64
"""Series computed at a time: enough to hide the cost of a call, few enough for the processor's cache."""

STRETCH = 1024
"""Bars per running sum: within it, the gain stays far below the limit of a float."""

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


class Smoothing:
    """An average that starts as the mean of its first `n` values, then moves by `alpha` towards each next one.

    It is a running sum, `average = scale[k] · Σ gain[k] · x`; k counts the values so far. The gain grows instead of the
    average decaying, so a whole batch needs no loop over time. It is as exact as the recurrence: the last terms weigh
    most in both. Gains grow for at most `STRETCH` bars; then a new sum continues from the average.
    """

    def __init__(self, n: int, alpha: float) -> None:
        decay = (1 - alpha) ** np.arange(1, STRETCH + 1)
        self.n = n
        self.alpha = alpha
        self.gain: Floats = np.concatenate([np.ones(n + 1), alpha * n / decay])
        self.scale: Floats = np.concatenate([np.full(n, np.nan), [1 / n], decay / n])

    def average(self, x: Floats, counts: Bools, out: Floats) -> None:
        """Write the average at each bar (series × bars) over the bars that count; others repeat it.

        NaN before the n-th value. `counts` may be one row for all series; `out` may be `x`.
        """
        if x.shape[1] <= STRETCH and counts.all():
            return self._average_all(x, out)
        seen, carried = np.zeros((1, 1), dtype=np.intp), np.zeros(len(x))
        for first in range(0, x.shape[1], STRETCH):
            part = np.s_[:, first : first + STRETCH]
            sums = out[part]
            beyond = np.maximum(seen - self.n, 0)  # so that the gain starts at 1 in each stretch
            k = _count(counts[part]) + (seen - beyond)
            np.multiply(x[part], self.gain.take(k), out=sums)
            np.copyto(sums, 0, where=~counts[part])
            sums[:, 0] += carried
            np.add.accumulate(sums, axis=1, out=sums)
            seen, last = k[:, -1:] + beyond, sums[:, -1].copy()
            sums *= self.scale.take(k)
            carried = np.where(seen[:, 0] < self.n, last, sums[:, -1] * self.n)
        return None

    def _average_all(self, x: Floats, out: Floats) -> None:
        """The same if every bar counts and one stretch holds them, as is usual.

        Two series at a time, as the parts of complex numbers: in a running sum each addition waits for the one before
        it, and two can wait at once. The bits are the same; without it, 700 windows take 4 to 9 % more
        (`benchmarks.bench_tricks`).
        """
        k, half = np.s_[1 : x.shape[1] + 1], (len(x) + 1) // 2
        sums = np.empty((half, x.shape[1]), dtype=np.complex128)
        first, second = sums.real, sums.imag[: len(x) - half]
        np.multiply(x[:half], self.gain[k], out=first)
        np.multiply(x[half:], self.gain[k], out=second)
        np.add.accumulate(sums, axis=1, out=sums)
        np.multiply(first, self.scale[k], out=out[:half])
        np.multiply(second, self.scale[k], out=out[half:])


def _count(flags: Bools) -> npt.NDArray[np.intp]:
    """Number of flags set so far, along each row; one row for all if every flag is set."""
    if flags.all():
        return np.arange(1, flags.shape[1] + 1)[None]
    return np.add.accumulate(flags, axis=1, dtype=np.intp)


FAST, SLOW, SIGNAL = (Smoothing(n, 2 / (n + 1)) for n in (12, 26, 9))
ATR = Smoothing(26, 1 / 26)


class Columns(NamedTuple):
    """A batch of series side by side: arrays of series × bars, oldest bar first, each series contiguous.

    `traded` is false for bars without trades, whose prices are the close before. Shorter series are left-aligned;
    after their end prices are NaN and `traded` is true.
    """

    close: Floats
    high: Floats
    low: Floats
    true_range: Floats
    traded: Bools

    @classmethod
    def from_prices(cls, high: Floats, low: Floats, close: Floats, traded: Bools) -> Self:
        return cls(close, high, low, _true_range(high, low, close), traded)

    @classmethod
    def from_records(cls, batch: Sequence[Records]) -> Self:
        bars = max(map(len, batch), default=0)
        if any(len(records) < bars for records in batch):
            padding = np.full(bars, _NOTHING)
            rows = joined(piece for records in batch for piece in (records, padding[len(records) :]))
        else:
            rows = joined(batch)
        rows = rows.reshape(len(batch), bars)
        high, low, close = (np.ascontiguousarray(rows[price]) for price in ("high", "low", "close"))
        return cls.from_prices(high, low, close, (rows["flags"] & EMPTY) == 0)


def _true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """The span of each bar and the close before it; for the first bar, its own span."""
    before = np.concatenate((high[:, :1], close[:, :-1]), axis=1)
    with np.errstate(invalid="ignore"):  # non-finite values are undefined
        spans = np.maximum(high, before)
        spans -= np.minimum(low, before)
    return spans


_NOTHING = np.array((0, 0, 0, *[np.nan] * 5), RECORD)
"""Padding after the end of a shorter series."""


class MacdvArrays(NamedTuple):
    """Every value of a batch: arrays of the shape of the input (series × bars), NaN if a value does not exist."""

    macdv: Floats
    signal: Floats
    histogram: Floats
    fast_ema: Floats
    slow_ema: Floats
    atr: Floats


class MacdvPoint(NamedTuple):
    """One bar, in points; None if a value does not exist."""

    macdv: float | None
    signal: float | None
    histogram: float | None
    stage: Stage | None


@dataclass(frozen=True, slots=True)
class MacdvSeries:
    """Every bar of one series: one-dimensional arrays of equal length, NaN if a value does not exist.

    `stages` holds codes, see `app.indicators.stages.STAGES`.
    """

    start_s: npt.NDArray[np.uint32]
    macdv: Floats
    signal: Floats
    histogram: Floats
    fast_ema: Floats
    slow_ema: Floats
    atr: Floats
    stages: Codes

    def point(self, bar: int) -> MacdvPoint:
        """The values of `bar`; -1 is the newest. Raises `IndexError` if there is none."""
        macdv, signal, histogram = (_known(column[bar]) for column in (self.macdv, self.signal, self.histogram))
        return MacdvPoint(macdv, signal, histogram, STAGES[self.stages[bar]])


class MacdvBatch(NamedTuple):
    """The values of a batch and their stages (series × bars), and the bars that they were computed from."""

    columns: Columns
    values: MacdvArrays
    stages: Codes

    def of_each(self, batch: Sequence[Records]) -> Iterator[MacdvSeries]:
        """The values of each series of `batch`, the one that was computed."""
        for records, *rows in zip(batch, *self.values, self.stages, strict=True):
            if len(records) < self.stages.shape[1]:
                rows = [row[: len(records)] for row in rows]
            yield MacdvSeries(records["start_s"], *rows)


def macdv(columns: Columns) -> MacdvArrays:
    """MACD-V of a batch of series, NaN after the end of a shorter one. A series has the same bits in any batch."""
    close, traded = columns.close, columns.traded
    macdv, signal, histogram, fast, slow, atr = out = np.empty((6, *close.shape))
    every_bar = np.ones((1, close.shape[1]), dtype=bool)
    later = np.s_[:, SLOW.n - 1 :]  # the bars that can have a MACD-V
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # non-finite values are undefined
        FAST.average(close, every_bar, fast)
        SLOW.average(close, every_bar, slow)
        ATR.average(columns.true_range, traded, atr)
        np.subtract(fast, slow, out=macdv)
        macdv *= 100
        macdv /= atr
        defined = np.isfinite(macdv)
        defined &= atr >= FAINTEST_ATR * close
        SIGNAL.average(macdv[later], defined[later], signal[later])
        signal[:, : SLOW.n - 1] = np.nan
        if not defined[later].all():
            np.copyto(macdv, np.nan, where=~defined)
            np.copyto(signal, np.nan, where=~defined)
        np.subtract(macdv, signal, out=histogram)
    return MacdvArrays(*out)


def macdv_of(records: Records) -> MacdvSeries:
    """MACD-V of one series: contiguous records, oldest first, forming ones included if given."""
    return macdv_of_many([records])[0]


def macdv_of_many(batch: Sequence[Records]) -> list[MacdvSeries]:
    """MACD-V of each series of `batch` (see `macdv_of`), bit for bit as if alone."""
    return [series for some in batched(batch, BLOCK) for series in macdv_of_batch(some).of_each(some)]


def macdv_of_batch(batch: Sequence[Records]) -> MacdvBatch:
    """MACD-V of all series of `batch` at once: at most about `BLOCK`."""
    columns = Columns.from_records(batch)
    values = macdv(columns)
    return MacdvBatch(columns, values, stage_codes(values.macdv, values.signal))


def _known(number: np.float64) -> float | None:
    value = float(number)
    return value if value == value else None
