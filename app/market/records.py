"""Candles as arrays: the fixed 56-byte record that the cache stores and every computation reads.

`numpy.frombuffer` turns the cached bytes into an array of records without a copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.market.candles import CandleState, UnifiedCandle

RECORD = np.dtype(
    [
        ("start_s", "<u4"),
        ("flags", "<u4"),
        ("observed_ms", "<u8"),
        ("open", "<f8"),
        ("high", "<f8"),
        ("low", "<f8"),
        ("close", "<f8"),
        ("volume", "<f8"),
    ]
)
"""One candle. `start_s` 0 marks a slot that was never written."""

Records: TypeAlias = npt.NDArray[Any]
"""A one-dimensional array of `RECORD`."""

CLOSED, CONFIRMED = int(CandleState.CLOSED), int(CandleState.CONFIRMED)
"""As plain numbers: NumPy is slow with enum members."""

STATE_MASK = 0b11
"""Bits of `flags` that hold the `CandleState`."""
EMPTY = 0b100
"""Bit of `flags`: the exchange has proven that the bucket had no trades."""
CORRECTED = 0b1000
"""Bit of `flags`: it replaced another closed candle of this bucket. Set by the cache."""
PROVISIONAL = 0b10000
"""Bit of `flags`: closed, but perhaps wrong. It will be requested from REST, and no alert relies on it."""
SILENT = 0b100000
"""Bit of `flags`: the stream was unbroken and silent for the whole bucket. On a confirmed empty candle this is the
reason for its state. Without a state it is a note on a bucket that has no candle yet."""


GUARDED = 0b1000000
"""Bit of `flags` of a write, never stored: give way to a candle with more trades. Set for responses, since the stream
may have written during the request, and for candles built from shorter ones, since trades may be missing."""


def state_of(records: Records) -> npt.NDArray[np.integer[Any]]:
    """The `CandleState` of each record, as integers."""
    states: npt.NDArray[np.integer[Any]] = records["flags"] & STATE_MASK
    return states


def has_trades(records: Records) -> npt.NDArray[np.bool_]:
    traded: npt.NDArray[np.bool_] = (records["flags"] & EMPTY) == 0
    return traded


def is_disputed(records: Records) -> npt.NDArray[np.bool_]:
    """Mask of the records that REST has confirmed, but later left out or contradicted."""
    doubted: npt.NDArray[np.bool_] = (state_of(records) == CONFIRMED) & ((records["flags"] & PROVISIONAL) != 0)
    return doubted


def over(records: Records) -> Records:
    """The `records` that are closed or confirmed."""
    closed = state_of(records) >= CLOSED
    return records if np.count_nonzero(closed) == len(closed) else records[closed]


def joined(batch: Iterable[Records]) -> Records:
    """The concatenated records of `batch`, read-only."""
    pieces: list[Any] = [np.ascontiguousarray(records) for records in batch]  # buffers, unlike their declared type
    return np.frombuffer(b"".join(pieces), RECORD)  # as bytes: NumPy copies records field by field


def to_records(candles: Iterable[UnifiedCandle]) -> Records:
    """Convert `candles` to an array, in order."""
    rows = [
        (
            c.start_s,
            c.state | (0 if c.trades else EMPTY),
            c.observed_ms,
            c.open,
            c.high,
            c.low,
            c.close,
            c.volume,
        )
        for c in candles
    ]
    return np.array(rows, dtype=RECORD)
