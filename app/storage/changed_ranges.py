"""Changed ranges: the message from a writer of candles to the indicator workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from app.market.timeframes import Timeframe
from app.storage.model import Written


class ChangedRange(NamedTuple):
    """Changed candles of one series, all within the buckets `first_s` to `last_s` (starts, inclusive)."""

    product: str
    timeframe: Timeframe
    first_s: int
    last_s: int


def changed_ranges(written: Iterable[Written]) -> list[ChangedRange]:
    """One entry for each series of `written` that changed."""
    return [
        ChangedRange(w.series.product, w.series.timeframe, min(changed_starts), max(changed_starts))
        for w in written
        if (changed_starts := w.changed_starts)
    ]
