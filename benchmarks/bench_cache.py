"""Cost of the candle cache: the compare-and-set of a boundary's closes, and the memory of a candle.

python -m benchmarks.bench_cache
"""

from __future__ import annotations

import time
from functools import partial
from itertools import count

import numpy as np

from app.market.candles import CandleState
from app.market.records import RECORD
from app.market.timeframes import BASE
from app.storage import keys
from app.storage.model import Outcome, Write
from benchmarks.figures import Figure
from benchmarks.full import NOW_S, PRODUCTS, Full, candles, full
from benchmarks.yardstick import alternate, round_trip_ms

RUNS = 21


def figures() -> list[Figure]:
    with full() as everything:
        memory = _memory(everything)
        return [_closes(everything), memory]


def _memory(everything: Full) -> Figure:
    """Redis memory per candle: rings, indicators, a full event stream, and all keys."""
    context, start_s = everything.context, NOW_S // BASE.seconds * BASE.seconds
    while context.redis.xlen(keys.EVENTS) < context.settings.events_kept:
        everything.close_all(BASE, start_s)
        start_s += BASE.seconds
    held = len(everything.many) * context.settings.series_capacity
    values = [(everything.used_bytes() - everything.empty_bytes) / held for _ in range(5)]
    return Figure("Redis: memory of a candle, with everything stored for it", "B", 64, values)


def _closes(everything: Full) -> Figure:
    """One close of each of 700 products at a boundary, written and published."""
    starts = count(2 * NOW_S // BASE.seconds * BASE.seconds, BASE.seconds)
    several = [s for s in everything.many if s.timeframe == BASE]

    def close() -> float:
        records = candles(BASE, next(starts), 1)
        records["flags"] = CandleState.CLOSED
        writes = [Write(series, records.copy()) for series in several]
        began = time.perf_counter()
        written = everything.context.candles.write(writes)
        took_ms = 1000 * (time.perf_counter() - began)
        assert all(w.outcomes == [Outcome.INSERTED] for w in written)
        return took_ms

    sets = [("SET", f"yardstick:{product}", bytes(RECORD.itemsize)) for product in PRODUCTS]
    took, trips = alternate(partial(round_trip_ms, everything.context.redis, sets), close, RUNS)
    what = f"cache: compare-and-set of {len(PRODUCTS)} closes, published"
    return Figure(what, "ms", 4.8, took, f"{len(PRODUCTS)} SETs of as many bytes in one round trip", trips)


def main() -> None:
    for figure in figures():
        print(figure)
    with full() as everything:
        several = [s for s in everything.many if s.timeframe == BASE]
        last_s = BASE.last_over(NOW_S)
        took = []
        for _ in range(RUNS):
            began = time.perf_counter()
            everything.context.candles.read_many([(s, last_s - 499 * BASE.seconds, last_s) for s in several])
            took.append(1e6 * (time.perf_counter() - began) / len(several))
        print(f"reading 500 candles of each of {len(several)} series: {np.median(took):.1f} µs per series")


if __name__ == "__main__":
    main()
