"""Pages of REST: how many a series needs for its missing buckets, and which requests brought nothing new. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from app.market.timeframes import BASE, Timeframe
from tests.faults.ledger import requested

PAGE = 350

NEW_PER_PAGE = PAGE - 1
"""New buckets per page: one of its 350 is the known candle that connects it to the stored ones."""


class Connectivity(NamedTuple):
    """The range of buckets of a series that the exchange has and a ring can hold."""

    first_s: int
    last_s: int


def runs(starts: Iterable[int], step: int) -> list[int]:
    """The lengths of the runs of adjacent buckets in `starts`."""
    lengths: list[int] = []
    before = None
    for start in sorted(starts):
        if before is not None and start == before + step:
            lengths[-1] += 1
        else:
            lengths.append(1)
        before = start
    return lengths


def pages_missing(reach: Mapping[Timeframe, Connectivity], known: Mapping[Timeframe, set[int]]) -> Counter[Timeframe]:
    """Pages needed for a product's missing buckets; a longer bucket that 5m candles can make needs none.

    If a longer series still needs pages, its newest one ends before the candles that the first page of 5m makes: so its
    indicator is ready after one request, without waiting for all pages of 5m.
    """
    pages: Counter[Timeframe] = Counter()
    for timeframe, (first_s, last_s) in reach.items():
        missing = set(range(first_s, last_s + 1, timeframe.seconds)) - known[timeframe]
        if timeframe.contains(BASE):
            is_built = min(missing, default=last_s) >= reach[BASE].first_s
            made_s = reach[BASE].last_s - (PAGE - 2) * BASE.seconds  # from the newest page of 5m
            missing = {start for start in missing if not is_built and start < made_s}
        pages[timeframe] = sum(-(-length // NEW_PER_PAGE) for length in runs(missing, timeframe.seconds))
    return pages


def by_timeframe(requests: Iterable[Mapping[str, Any]]) -> Counter[Timeframe]:
    """Requests for candles by timeframe."""
    return Counter(requested(request)[0] for request in requests)


def brought_nothing_new(requests: Sequence[Mapping[str, Any]]) -> int:
    """Successful requests for candles whose every bucket was in an earlier response."""
    answered: set[tuple[str, Timeframe, int]] = set()
    again = 0
    for request in requests:
        if request["status"] != 200 or not request["path"].endswith("/candles"):
            continue
        timeframe, buckets = requested(request)
        wanted = {(request["path"], timeframe, bucket) for bucket in buckets}
        again += wanted <= answered
        answered |= wanted
    return again
