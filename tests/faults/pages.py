"""Pages of REST: how many a series needs for what it is missing, and which requests told nothing new. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from app.market.timeframes import BASE, Timeframe
from tests.faults.ledger import asked

PAGE = 350

NEW_PER_PAGE = PAGE - 1
"""Buckets that one page adds: of its 350, one is the known candle that ties it to what is there."""


class Connectivity(NamedTuple):
    """The buckets of a series, by their starts, that the exchange has and a ring can hold."""

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
    """How many pages bring a product's missing buckets; a longer bucket that 5m candles can make needs none.

    Of a longer series that needs a page nonetheless, the newest one goes on from what the first page of 5m makes: so
    its indicator is ready after one request, and does not wait for all pages of 5m.
    """
    pages: Counter[Timeframe] = Counter()
    for timeframe, (first_s, last_s) in reach.items():
        missing = set(range(first_s, last_s + 1, timeframe.seconds)) - known[timeframe]
        if timeframe.contains(BASE):
            is_built = min(missing, default=last_s) >= reach[BASE].first_s
            made_s = reach[BASE].last_s - (PAGE - 2) * BASE.seconds  # by the newest page of 5m
            missing = {start for start in missing if not is_built and start < made_s}
        pages[timeframe] = sum(-(-length // NEW_PER_PAGE) for length in runs(missing, timeframe.seconds))
    return pages


def by_timeframe(requests: Iterable[Mapping[str, Any]]) -> Counter[Timeframe]:
    """How many of `requests`, all of them for candles, were for each timeframe."""
    return Counter(asked(request)[0] for request in requests)


def told_nothing_new(requests: Sequence[Mapping[str, Any]]) -> int:
    """Answered requests for candles whose every bucket was in an earlier answer."""
    answered: set[tuple[str, Timeframe, int]] = set()
    again = 0
    for request in requests:
        if request["status"] != 200 or not request["path"].endswith("/candles"):
            continue
        timeframe, buckets = asked(request)
        wanted = {(request["path"], timeframe, bucket) for bucket in buckets}
        again += wanted <= answered
        answered |= wanted
    return again
