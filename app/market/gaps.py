"""Find missing buckets, merge them into ranges, fill in empty candles. Pure."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.market.candles import CandleState
from app.market.records import EMPTY, Records, over

Starts: TypeAlias = npt.NDArray[np.int64]
"""Bucket starts, UNIX seconds, ascending."""


def missing(records: Records, step: int, origin_s: int, last_over_s: int) -> Starts:
    """Starts of the buckets from `origin_s` to `last_over_s` (inclusive) without a closed or confirmed record.

    `records` may be in any order, one per bucket. `step`: bucket length in seconds.
    """
    first = -(-origin_s // step) * step
    wanted = max(0, (last_over_s - first) // step + 1)
    known = over(records)["start_s"]
    known = known[(known >= first) & (known <= last_over_s)]
    if len(known) == wanted:  # the usual case
        return np.empty(0, dtype=np.int64)
    absent = np.ones(wanted, dtype=bool)
    absent[(known.astype(np.int64) - first) // step] = False
    return first + step * np.flatnonzero(absent)


def merge(starts: Starts, step: int) -> list[tuple[int, int]]:
    """The fewest ranges (first, last; inclusive) that cover exactly `starts`, oldest first."""
    if not len(starts):
        return []
    ends = np.flatnonzero(starts[1:] - starts[:-1] != step)
    firsts, lasts = [0, *(ends + 1).tolist()], [*ends.tolist(), len(starts) - 1]
    return [(int(starts[first]), int(starts[last])) for first, last in zip(firsts, lasts, strict=True)]


def fill_empty(page: Records, last_s: int, step: int, observed_ms: int) -> Records:
    """`page` up to the bucket `last_s`, with a confirmed empty candle for every bucket missing between.

    `page`: all candles with trades, oldest first, at least one. An empty one carries the close of the bucket before it.
    """
    known = page["start_s"].astype(np.int64)
    starts = np.arange(known[0], last_s + 1, step)
    filled: Records = page[np.searchsorted(known, starts, side="right") - 1]
    absent = filled["start_s"] != starts
    for price in ("open", "high", "low"):
        filled[price][absent] = filled["close"][absent]
    filled["volume"][absent] = 0.0
    filled["flags"][absent] = CandleState.CONFIRMED | EMPTY
    filled["observed_ms"][absent] = observed_ms
    filled["start_s"] = starts
    return filled
