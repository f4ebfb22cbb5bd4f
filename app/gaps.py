"""What is missing in a series, and what proves that a bucket was empty. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from app.candles import State
from app.records import EMPTY, RECORD, Records, over

Starts: TypeAlias = npt.NDArray[np.int64]
"""Bucket starts, UNIX seconds, ascending."""


def missing(records: Records, step: int, origin_s: int, last_over_s: int) -> Starts:
    """Starts of the buckets from `origin_s` to `last_over_s` (inclusive) without a closed or confirmed record."""
    wanted = np.arange(-(-origin_s // step) * step, last_over_s + 1, step, dtype=np.int64)
    return np.setdiff1d(wanted, over(records)["start_s"].astype(np.int64), assume_unique=True)


def merge(starts: Starts | Sequence[int], step: int, limit: int = 350) -> list[tuple[int, int]]:
    """Ranges (first, last) of at most `limit` buckets that cover exactly `starts`, oldest first."""
    unique = np.unique(np.asarray(starts, dtype=np.int64))
    if not len(unique):
        return []
    breaks = np.flatnonzero(np.diff(unique) != step) + 1
    return [
        (int(run[i]), int(run[min(i + limit, len(run)) - 1]))
        for run in np.split(unique, breaks)
        for i in range(0, len(run), limit)
    ]


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

    A bucket that `page` lacks is empty and carries the close before it, `previous_close` for the first. Leading
    buckets with nothing to carry are left out.
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
