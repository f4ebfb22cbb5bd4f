"""Random markets for property tests."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from app.market.candles import CandleState
from app.market.records import EMPTY, RECORD, Records

STEP = 300


def walk(seed: int, bars: int, *, empty: float = 0.0, volatility: float = 0.002, drift: float = 0.0) -> Records:
    """A random walk of 5m candles, a share `empty` of them without trades (never the first)."""
    random = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(random.normal(drift, volatility, (bars, 8)).ravel())).reshape(bars, 8)
    without = random.random(bars) < empty
    records = np.zeros(bars, RECORD)
    close = 100.0
    for i, (record, ticks) in enumerate(zip(records, prices, strict=True)):
        traded = i == 0 or not without[i]
        ticks = ticks if traded else np.array([close])
        close = float(ticks[-1])
        record["start_s"] = 1_700_006_400 + i * STEP
        record["flags"] = CandleState.CONFIRMED | (0 if traded else EMPTY)
        record["open"], record["high"], record["low"], record["close"] = ticks[0], ticks.max(), ticks.min(), close
        record["volume"] = random.exponential() if traded else 0.0
    return records


def walks(max_bars: int = 200) -> st.SearchStrategy[Records]:
    """Random walks of all lengths, volatilities, and shares of bars without trades."""
    return st.builds(
        walk,
        seed=st.integers(0, 2**32 - 1),
        bars=st.integers(0, max_bars),
        empty=st.sampled_from([0.0, 0.15, 0.8]),
        volatility=st.sampled_from([0.0, 1e-6, 0.002, 0.05]),
    )
