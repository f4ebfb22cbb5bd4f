"""Duration of the gap scan: 3,500 series of 1,000 buckets, all complete, and 5 % of them with gaps.

python -m benchmarks.bench_scan
"""

from __future__ import annotations

import time

from app.backfill.scan import Scanner
from app.market.records import RECORD
from app.market.series import Series
from app.storage import keys
from app.util.batches import batched
from benchmarks.figures import Figure
from benchmarks.full import NOW_S, Full, full
from benchmarks.yardstick import alternate, round_trip_ms

RUNS = 11
EVERY = 20
"""One in this many series has gaps."""

PER_READ = 160
"""Rings in one round trip, as in a scan."""


def figures() -> list[Figure]:
    with full() as everything:
        complete = Figure("scan: 3,500 series × 1,000 buckets, all complete", "ms", 4, *_scans(everything, 0))
        broken = everything.many[::EVERY]
        for series in broken:
            _tear(everything, series)
        return [complete, Figure("scan: the same, 5 % with gaps", "ms", 5.5, *_scans(everything, len(broken)))]


def _scans(everything: Full, broken: int) -> tuple[list[float], str, list[float]]:
    """Time (ms) of each scan, its yardstick, and the yardstick's time beside it."""
    scanner = Scanner(everything.context, everything.context.settings)
    batches = list(batched([("GET", keys.candles(series)) for series in everything.many], PER_READ))

    def scan() -> float:
        began = time.perf_counter()
        found = scanner.scan(NOW_S * 1000)
        took_ms = 1000 * (time.perf_counter() - began)
        assert len({f.series for f in found}) == broken
        return took_ms

    took, reads = alternate(lambda: sum(round_trip_ms(everything.context.redis, some) for some in batches), scan, RUNS)
    return took, "reading the same rings", reads


def _tear(everything: Full, series: Series) -> None:
    """Delete three buckets: one, and two adjacent ones."""
    for slot in (100, 500, 501):
        everything.context.redis.setrange(keys.candles(series), slot * RECORD.itemsize, bytes(RECORD.itemsize))


def main() -> None:
    for figure in figures():
        print(figure)


if __name__ == "__main__":
    main()
