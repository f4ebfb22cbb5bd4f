"""MACD-V bar by bar in plain Python, written from its definition without project code.

Source: Alex Spiroglou, "MACD-V: Volatility Normalised Momentum" (2022). An average true range of less than 1e-10 of the
close is a rounding residue of one that was zero long ago: the quotient then has no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Column: TypeAlias = "list[float | None]"


def ema(values: Sequence[float | None], n: int) -> Column:
    """Seeded with the mean of the first n values that exist; α = 2 / (n + 1)."""
    out: Column = []
    seed: list[float] = []
    last: float | None = None
    for value in values:
        if value is not None:
            if last is not None:
                last = last + 2 / (n + 1) * (value - last)
            else:
                seed.append(value)
                last = sum(seed) / n if len(seed) == n else None
        out.append(last)
    return out


def atr(high: Sequence[float], low: Sequence[float], close: Sequence[float], traded: Sequence[bool]) -> Column:
    """Wilder's, over bars with trades; bars without trades carry it."""
    out: Column = []
    seed: list[float] = []
    last: float | None = None
    for i, has_trades in enumerate(traded):
        if has_trades:
            true_range = high[i] - low[i]
            if i:
                true_range = max(true_range, abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
            if last is not None:
                last = (last * 25 + true_range) / 26
            else:
                seed.append(true_range)
                last = sum(seed) / 26 if len(seed) == 26 else None
        out.append(last)
    return out


def reference_macdv(
    high: Sequence[float], low: Sequence[float], close: Sequence[float], traded: Sequence[bool]
) -> dict[str, Column]:
    """Columns fast_ema, slow_ema, atr, macdv, signal, histogram; None if a value does not exist."""
    fast, slow, ranges = ema(close, 12), ema(close, 26), atr(high, low, close, traded)
    macdv: Column = [
        100 * (f - s) / r if f is not None and s is not None and r and r / price >= 1e-10 else None
        for f, s, r, price in zip(fast, slow, ranges, close, strict=True)
    ]
    signal = ema(macdv, 9)
    signal = [s if m is not None else None for s, m in zip(signal, macdv, strict=True)]
    histogram: Column = [m - s if m is not None and s is not None else None for m, s in zip(macdv, signal, strict=True)]
    return {
        "fast_ema": fast,
        "slow_ema": slow,
        "atr": ranges,
        "macdv": macdv,
        "signal": signal,
        "histogram": histogram,
    }
