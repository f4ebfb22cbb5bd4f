"""Short ways to make candles, records and series for tests."""

from __future__ import annotations

import numpy as np

from app.market.candles import CandleState, UnifiedCandle
from app.market.records import EMPTY, RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe

STEP = 300
T0 = 1_700_000_100
"""A time whose 5m bucket starts at `B0`."""
B0 = T0 // STEP * STEP


def series(product: str = "BTC-USD", timeframe: Timeframe = Timeframe.M5) -> Series:
    return Series("coinbase", product, timeframe)


def candle(start_s: int = B0, close: float = 10.0, volume: float = 1.0, **changes: object) -> UnifiedCandle:
    values: dict[str, object] = {
        "exchange": "coinbase",
        "product": "BTC-USD",
        "timeframe": Timeframe.M5,
        "start_s": start_s,
        "open": 10.0,
        "high": max(11.0, close),
        "low": min(9.0, close),
        "close": close,
        "volume": volume,
        "state": CandleState.CLOSED,
    }
    return UnifiedCandle(**{**values, **changes})  # type: ignore[arg-type]


def records(
    *rows: tuple[int, CandleState] | tuple[int, CandleState, float] | tuple[int, CandleState, float, int],
) -> Records:
    """Rows of start, state, close (10) and observed_ms (1)."""
    made = np.zeros(len(rows), RECORD)
    for record, row in zip(made, rows, strict=True):
        start_s, state, close, observed_ms = (*row, *(10.0, 1)[len(row) - 2 :])
        record["start_s"], record["flags"], record["observed_ms"] = start_s, state, observed_ms
        record["open"], record["high"], record["low"], record["close"] = 10, max(11, close), min(9, close), close
        record["volume"] = 1
    return made


def empty(start_s: int, close: float, state: CandleState = CandleState.CONFIRMED, observed_ms: int = 1) -> Records:
    """One confirmed empty bucket."""
    made = np.zeros(1, RECORD)
    made["start_s"], made["flags"], made["observed_ms"] = start_s, state | EMPTY, observed_ms
    for price in ("open", "high", "low", "close"):
        made[price] = close
    return made


def run(first_s: int, count: int, state: CandleState = CandleState.CONFIRMED, step: int = STEP) -> Records:
    """`count` contiguous records."""
    return records(*((first_s + i * step, state, 10.0 + i % 7) for i in range(count)))
