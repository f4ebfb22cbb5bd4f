"""Carry closes into empty candles; find gaps in records."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from app.market.records import EMPTY, Records, has_trades
from app.market.timeframes import Timeframe


def contiguous_tail(records: Records, timeframe: Timeframe) -> Records:
    """The newest records without a gap between them. `records`: oldest first, each bucket of `timeframe` once."""
    if not gaps_in(records, timeframe):
        return records
    holes = np.flatnonzero(np.diff(records["start_s"].astype(np.int64)) != timeframe.seconds)
    return records[holes[-1] + 1 :]


def gaps_in(records: Records, timeframe: Timeframe) -> int:
    """Number of missing buckets between the first and last of `records` (as for `contiguous_tail`)."""
    if not len(records):
        return 0
    starts = records["start_s"]
    return (int(starts[-1]) - int(starts[0])) // timeframe.seconds + 1 - len(records)


def since(records: Records, first_s: int) -> Records:
    """The `records` (oldest first) that start at `first_s` or later."""
    return records[records["start_s"].searchsorted(np.uint32(max(0, first_s))) :]


def updated_empty_candles(records: Records, timeframe: Timeframe) -> Records:
    """New versions of the empty candles that do not carry the close of the bucket before them.

    `records`: closed ones, oldest first. The first one and candles after a gap are left unchanged.
    """
    empty = (records["flags"] & EMPTY) != 0
    if len(records) < 2 or not np.count_nonzero(empty):
        return records[:0]
    after_hole = np.diff(records["start_s"].astype(np.int64), prepend=0) != timeframe.seconds
    source = _newest(has_trades(records) | after_hole)
    close = records["close"][source]
    wrong = np.flatnonzero(empty & (records["close"] != close))
    renewed = records[wrong].copy()
    for price in ("open", "high", "low", "close"):
        renewed[price] = close[wrong]
    renewed["observed_ms"] = np.maximum(renewed["observed_ms"] + 1, records["observed_ms"][source[wrong]])
    return renewed


def carried_forward(records: Records, marked: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mask of the `records` (oldest first) that are `marked`, or are empty and carry the close of a marked one."""
    carries: npt.NDArray[np.bool_] = marked[_newest(has_trades(records) | marked)]
    return carries


def _newest(wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """For each index, the newest `wanted` index up to it; 0 if there is none."""
    newest: npt.NDArray[np.int64] = np.maximum.accumulate(np.where(wanted, np.arange(len(wanted)), 0))
    return newest
