"""What a change touched: the message between whoever writes candles and the indicator workers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from app.market.timeframes import Timeframe
from app.storage.model import Written


class Touched(NamedTuple):
    """New or corrected candles of one series, all within the buckets `first_s` to `last_s` (starts, inclusive)."""

    product: str
    timeframe: Timeframe
    first_s: int
    last_s: int


def touched_by(written: Iterable[Written]) -> list[Touched]:
    """One entry for each series of `written` in which something is new."""
    return [
        Touched(w.series.product, w.series.timeframe, min(news_s), max(news_s)) for w in written if (news_s := w.news_s)
    ]
