"""What the exchange's own books say of our requests. Pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

SETTLED_S = 90
"""Settled beyond doubt, also for a process that heard the clock a moment ago."""


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
    """Answers of 429: those that nobody injected, and those that were."""
    notes = [bool(r["note"]) for r in ledger["requests"] if r["status"] == 429]
    return notes.count(False), notes.count(True)


def asked_again(requests: list[dict[str, Any]]) -> int:
    """Requests whose every bucket had a settled answer already; reconciliations are left out."""
    answered: set[tuple[str, int]] = set()
    again = 0
    for r in requests:
        query = parse_qs(r["query"])
        if r["status"] != 200 or r["note"] or not r["path"].endswith("/candles"):
            continue
        first, last = int(query["start"][0]), int(query["end"][0])
        if query["granularity"] != ["FIVE_MINUTE"]:
            continue
        buckets = range(first, last + 1, 300)
        settled = {(r["path"], b) for b in buckets if b + 300 + SETTLED_S <= r["exchange_ms"] / 1000}
        if len(buckets) < 300:  # more is a start or a reconciliation
            again += len(settled) == len(buckets) and settled <= answered
        answered |= settled
    return again
