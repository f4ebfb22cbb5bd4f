"""What is missing in a series, and what proves that a bucket was empty. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.candles import State
from app.records import EMPTY, RECORD, STATE_MASK, Records, over

Starts: TypeAlias = npt.NDArray[np.int64]
"""Bucket starts, UNIX seconds, ascending."""


def missing(records: Records, step: int, origin_s: int, last_over_s: int) -> Starts:
    """Starts of the buckets from `origin_s` to `last_over_s` (inclusive) without a closed or confirmed record.

    `records` may be in any order. `step`: length of a bucket in seconds.
    """
    wanted = np.arange(-(-origin_s // step) * step, last_over_s + 1, step, dtype=np.int64)
    return wanted[~np.isin(wanted, over(records)["start_s"].astype(np.int64))]


def missing_many(
    starts: npt.NDArray[np.integer[Any]],
    flags: npt.NDArray[np.integer[Any]],
    step: int,
    origins_s: npt.NDArray[np.integer[Any]] | int,
    last_over_s: int,
) -> tuple[npt.NDArray[np.intp], Starts]:
    """`missing` of every series of one timeframe at once: which series, which bucket; by series, oldest first.

    `starts`, `flags`: series × slots, as they stand in the rings, where slot = (start // step) % slots. `origins_s`:
    one for each series, or one for all. A bucket whose slot holds a later one has left the ring and is not missing.
    """
    slots, newest = starts.shape[1], last_over_s // step
    buckets = newest - slots + 1 + np.arange(slots)
    wanted, slot = buckets * step, buckets % slots
    due = np.empty(slots, dtype=np.int64)
    due[slot] = wanted  # in the order of the rings
    open_ = (flags & STATE_MASK) < State.CLOSED
    lacking = (starts < due) | (open_ & (starts == due))
    lacking &= due >= np.maximum(np.atleast_1d(origins_s), 1)[:, None]  # a slot that was never written has start 0
    series, position = np.nonzero(lacking[:, slot])
    return series, wanted[position]


def merge(starts: Starts | Sequence[int], step: int, limit: int = 350) -> list[tuple[int, int]]:
    """The fewest ranges (first, last; inclusive) of at most `limit` buckets that cover exactly `starts`, oldest first.

    `starts` may be in any order, each any number of times. No known bucket is asked for only to bridge two ranges.
    """
    unique = np.unique(np.asarray(starts, dtype=np.int64))
    runs = np.split(unique, np.flatnonzero(np.diff(unique) != step) + 1)
    pages = (run[first : first + limit] for run in runs for first in range(0, len(run), limit))
    return [(int(page[0]), int(page[-1])) for page in pages]


def fill_empty(
    page: Records,
    first_s: int,
    last_s: int,
    step: int,
    previous_close: float | None,
    state: State,
    observed_ms: int,
) -> Records:
    """Every bucket from `first_s` to `last_s`, of which `page` holds all that had trades, oldest first.

    A bucket that `page` lacks is empty: it has `state` and `observed_ms`, and carries the close of the bucket before
    it, `previous_close` for the first. Leading buckets with nothing to carry are left out.
    """
    starts = np.arange(first_s, last_s + 1, step, dtype=np.int64)
    carrier = np.searchsorted(page["start_s"].astype(np.int64), starts, side="right") - 1
    known = carrier >= 0
    filled = np.zeros(len(starts), RECORD)
    filled[known] = page[carrier[known]]
    absent = filled["start_s"] != starts
    close = np.where(known, filled["close"], np.nan if previous_close is None else previous_close)
    for price in ("open", "high", "low", "close"):
        filled[price][absent] = close[absent]
    filled["volume"][absent] = 0.0
    filled["flags"][absent] = state | EMPTY
    filled["observed_ms"][absent] = observed_ms
    filled["start_s"] = starts
    return filled[~np.isnan(close)]
