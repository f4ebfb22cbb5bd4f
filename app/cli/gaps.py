"""Candles that are missing now, and the requests for them."""

from __future__ import annotations

from typing import Any

from app.backfill.scan import Scanner
from app.context import Context


def read_gaps(context: Context) -> dict[str, Any]:
    """`missing`: series with missing closed candles at the exchange's time; `pending` and `failures`: requests."""
    clock = context.clock.read()
    found = Scanner(context, context.settings).scan(clock.exchange_ms) if clock else []
    return {
        "exchange_ms": clock.exchange_ms if clock else None,
        "missing": [
            {"product": f.series.product, "timeframe": f.series.timeframe, "buckets": f.buckets}
            for f in found
            if f.buckets
        ],
        "pending": [r._asdict() for r in sorted(context.queue.pending())],
        "failures": [{**r._asdict(), **failure} for r, failure in sorted(context.queue.failures().items())],
    }
