"""Our requests according to the exchange's ledger. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import parse_qs

from app.market.timeframes import BASE, Timeframe
from simulator.rest import GRANULARITIES

PAGE = 300
"""Only an initial backfill or a reconciliation requests this many buckets at once."""
SETTLED_S = 90
"""Certainly settled, even for a process whose clock is a moment old."""


def most_in_a_second(times: list[float]) -> int:
    """The largest number of `times` within any window of one second."""
    times, first, most = sorted(times), 0, 0
    for last, time_s in enumerate(times):
        while time_s - times[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def busiest_second(ledger: dict[str, Any]) -> int:
    return most_in_a_second([r["monotonic_s"] for r in ledger["requests"] if not r["path"].startswith("/local")])


def refused(ledger: dict[str, Any]) -> tuple[int, int]:
    """Numbers of 429 responses: real ones, and injected ones."""
    notes = [bool(r["note"]) for r in ledger["requests"] if r["status"] == 429]
    return notes.count(False), notes.count(True)


def pages(requests: list[dict[str, Any]]) -> Counter[tuple[str, Timeframe]]:
    """Successful requests for whole pages by series (path, which names the product; timeframe)."""
    answered = [(r["path"], *requested(r)) for r in requests if r["status"] == 200]
    return Counter((path, t) for path, t, buckets in answered if len(buckets) >= PAGE)


def requested(request: dict[str, Any]) -> tuple[Timeframe, range]:
    """Timeframe and buckets of a request for candles."""
    query = parse_qs(request["query"])
    timeframe = GRANULARITIES[query["granularity"][0]]
    return timeframe, range(int(query["start"][0]), int(query["end"][0]) + 1, timeframe.seconds)


def repeated(requests: list[dict[str, Any]]) -> int:
    """Requests without a new settled bucket of 5m; reconciliations are left out."""
    answered: set[tuple[str, int]] = set()
    again = 0
    for r in requests:
        if r["status"] != 200 or r["note"] or not r["path"].endswith("/candles"):
            continue
        timeframe, buckets = requested(r)
        if timeframe != BASE:
            continue
        settled = {(r["path"], b) for b in buckets if b + BASE.seconds + SETTLED_S <= r["exchange_ms"] / 1000}
        if len(buckets) < PAGE:
            again += len(settled) == len(buckets) and settled <= answered
        answered |= settled
    return again
