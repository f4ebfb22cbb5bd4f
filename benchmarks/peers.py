"""MACD-V by other libraries, with the same values as ours if every bar has trades: one function per library.

Each takes a batch of records (oldest first, of equal length) and returns MACD-V and signal as arrays of series × bars,
NaN if there is no value. `make bench` installs them (requirements-bench.txt); `installed` yields the available ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np

from app.indicators.macdv import Floats
from app.market.records import Records

Peer: TypeAlias = Callable[[Sequence[Records]], tuple[Floats, Floats]]

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # one core, like the others


def by_talib(batch: Sequence[Records]) -> tuple[Floats, Floats]:
    import talib

    macdv, signal = np.empty((2, len(batch), len(batch[0])))
    for i, records in enumerate(batch):
        # TA-Lib's ATR leaves the first bar out; a copy of it in front includes it.
        high, low, close = (np.concatenate((column[:1], column)) for column in _columns(records))
        line = 100 * (talib.EMA(close[1:], 12) - talib.EMA(close[1:], 26)) / talib.ATR(high, low, close, 26)[1:]
        macdv[i], signal[i] = line, talib.EMA(line, 9)
    return macdv, signal


def by_pandas(batch: Sequence[Records]) -> tuple[Floats, Floats]:
    import pandas as pd

    def average(x: Floats, n: int, alpha: float) -> Floats:
        return pd.DataFrame(_seeded(x, n)).ewm(alpha=alpha, adjust=False).mean().to_numpy()

    return _from_averages(batch, average)


def by_polars(batch: Sequence[Records]) -> tuple[Floats, Floats]:
    import polars as pl

    def average(x: Floats, n: int, alpha: float) -> Floats:
        frame = pl.from_numpy(_seeded(x, n)).fill_nan(None)
        return frame.select(pl.all().ewm_mean(alpha=alpha, adjust=False, ignore_nulls=True)).to_numpy()

    return _from_averages(batch, average)


def by_talipp(batch: Sequence[Records]) -> tuple[Floats, Floats]:
    from talipp.indicators import ATR, EMA
    from talipp.ohlcv import OHLCV

    macdv, signal = np.full((2, len(batch), len(batch[0])), np.nan)
    for i, records in enumerate(batch):
        high, low, close = (column.tolist() for column in _columns(records))
        fast, slow = EMA(12, close), EMA(26, close)
        atr = ATR(26, [OHLCV(c, h, lo, c, 0.0) for h, lo, c in zip(high, low, close, strict=True)])
        line = [100 * (f - s) / r for f, s, r in list(zip(fast, slow, atr, strict=True))[25:]]
        macdv[i, 25:] = line
        signal[i, 33:] = list(EMA(9, line))[8:]
    return macdv, signal


PEERS: dict[str, tuple[str, Peer]] = {
    "TA-Lib": ("talib", by_talib),
    "pandas": ("pandas", by_pandas),
    "polars": ("polars", by_polars),
    "talipp": ("talipp", by_talipp),
}


def installed() -> Iterator[tuple[str, Peer]]:
    """The installed libraries; prints a line for each other one."""
    for name, (module, peer) in PEERS.items():
        if find_spec(module):
            yield name, peer
        else:
            print(f"{name} is not installed: skipped (`make bench` installs it if possible)")


def _from_averages(batch: Sequence[Records], average: Callable[[Floats, int, float], Floats]) -> tuple[Floats, Floats]:
    """Compute all series at once, as columns of one frame. `average(x, n, alpha)`: seeded with the mean of n values."""
    high, low, close = (np.stack(columns, axis=1) for columns in zip(*map(_columns, batch), strict=True))
    before = np.concatenate((high[:1], close[:-1]))
    atr = average(np.maximum(high, before) - np.minimum(low, before), 26, 1 / 26)
    macdv = 100 * (average(close, 12, 2 / 13) - average(close, 26, 2 / 27)) / atr
    signal = np.full_like(macdv, np.nan)
    signal[25:] = average(macdv[25:], 9, 2 / 10)
    return macdv.T, signal.T


def _seeded(x: Floats, n: int) -> Floats:
    """A copy of `x` (bars × series) from which a recursion starts with the mean of the first `n` values."""
    seeded = x.copy()
    seeded[: n - 1], seeded[n - 1] = np.nan, x[:n].mean(axis=0)
    return seeded


def _columns(records: Records) -> tuple[Floats, Floats, Floats]:
    high, low, close = (np.ascontiguousarray(records[name]) for name in ("high", "low", "close"))
    return high, low, close
