"""Find missing buckets, merge them into ranges, fill in empty candles. Pure."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.market.candles import CandleState
from app.market.records import EMPTY, RECORD, Records, over

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


def fill_empty(
    page: Records,
    first_s: int,
    last_s: int,
    step: int,
    previous_close: float | None,
    state: CandleState,
    observed_ms: int,
) -> Records:
    """A candle for every bucket from `first_s` to `last_s`. `page` holds all candles with trades, oldest first.

    A bucket missing from `page` is empty: it gets `state` and `observed_ms`, and carries the close of the bucket
    before it (`previous_close` for the first). Leading buckets without a close to carry are left out.
    """
    starts = np.arange(first_s, last_s + 1, step, dtype=np.int64)
    source = np.searchsorted(page["start_s"].astype(np.int64), starts, side="right") - 1
    known = source >= 0
    filled = np.zeros(len(starts), RECORD)
    filled[known] = page[source[known]]
    absent = filled["start_s"] != starts
    close = np.where(known, filled["close"], np.nan if previous_close is None else previous_close)
    for price in ("open", "high", "low", "close"):
        filled[price][absent] = close[absent]
    filled["volume"][absent] = 0.0
    filled["flags"][absent] = state | EMPTY
    filled["observed_ms"][absent] = observed_ms
    filled["start_s"] = starts
    return filled[~np.isnan(close)]
