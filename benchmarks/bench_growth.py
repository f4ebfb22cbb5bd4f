"""Cost per product in an installation of 25, 100, 700 and 2,800: python -m benchmarks.bench_growth [products ...]

Processor time of ingest, indicator workers and Redis together for a 5m close with its indicator and alerts, and for an
update of a forming candle; memory of Redis and of the ingest. Processes as in `bench_latency`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table

from app.market.timeframes import BASE
from benchmarks.figures import Figure
from benchmarks.installation import START_S, Installation, installation

SIZES = (25, 100, 700, 2_800)
USUAL = 700
"""Other sizes are compared with this one."""
RUNS = 5
BUCKETS = {25: 12, 100: 8, 700: 3, 2_800: 2}
"""Buckets of one run, by size."""


class Size(NamedTuple):
    """`close_us` and `update_us`: microseconds of processor time per product, by run and process."""

    products: int
    close_us: list[dict[str, float]]
    update_us: list[dict[str, float]]
    redis_bytes: float
    ingest_bytes: float

    @property
    def a_close_us(self) -> list[float]:
        return [sum(run.values()) for run in self.close_us]


def measured(products: int) -> Size:
    """Measure one size, with 5m only: the cost of a series does not depend on a product's other series."""
    now_s = START_S + 12 * 3600 + 60
    with (
        tempfile.TemporaryDirectory() as folder,
        installation(Path(folder), products, now_s, CANDLEWICK_TIMEFRAMES="5m") as here,
    ):
        empty = _used(here)
        here.fill(now_s)
        redis_bytes = _used(here) - empty
        here.start("indicators")
        here.connect()
        _bucket(here)
        closes, updates = [], []
        for _ in range(RUNS):
            rounds = [_bucket(here) for _ in range(BUCKETS.get(products, 3))]
            updates.append(_mean([update for update, _ in rounds], products))
            closes.append(_mean([close for _, close in rounds], products))
        ingest_bytes = sum(p.memory_info().rss for p in here.of("ingest"))
        return Size(products, closes, updates, redis_bytes / products, ingest_bytes)


def _bucket(here: Installation) -> tuple[dict[str, float], dict[str, float]]:
    """Processor time (ms) of one bucket's updates, and of its close."""
    end_s = BASE.bucket(here.now_s) + BASE.seconds
    before = here.busy_ms()
    here.trade_until(end_s - 30)
    traded = here.busy_ms()
    here.close(end_s + 3, len(here.products))
    here.rest()
    return _less(traded, before), _less(here.busy_ms(), traded)


def _less(now: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: now[name] - before[name] for name in now}


def _mean(rounds: list[dict[str, float]], products: int) -> dict[str, float]:
    """Microseconds per product."""
    return {name: 1000 * sum(r[name] for r in rounds) / len(rounds) / products for name in rounds[0]}


def _used(here: Installation) -> int:
    here.context.redis.execute_command("MEMORY", "PURGE")
    return int(here.context.redis.info("memory")["used_memory"])


def figures() -> list[Figure]:
    return list(_compared([measured(products) for products in SIZES]))


def _compared(sizes: Iterable[Size]) -> Iterator[Figure]:
    by_size = {size.products: size for size in sizes}
    smallest, usual = by_size[min(by_size)], by_size[USUAL]
    a_close = median(usual.a_close_us)
    for size in by_size.values():
        if size is not usual:
            ratios = [us / a_close for us in size.a_close_us]
            yield Figure(f"processor time per close, {size.products:,} products / {USUAL}", "", 1.2, ratios)
        if size not in (smallest, usual):
            ratio = _further(smallest, size) / _further(smallest, usual)
            yield Figure(f"Redis memory of a further series, up to {size.products:,} / {USUAL}", "", 1.05, [ratio])


def _further(small: Size, large: Size) -> float:
    """Redis bytes per series that `large` has more than `small`."""
    more = large.redis_bytes * large.products - small.redis_bytes * small.products
    return more / (large.products - small.products)


def main(names: list[str]) -> int:
    table = Table(title="processor time in µs per product, median of 5 runs (spread of the sum); memory")
    columns = "products", "close: all", "ingest", "workers", "Redis", "update: ingest", "Redis", "KB per series"
    for column in (*columns, "ingest MB"):
        table.add_column(column, justify="right")
    sizes = [measured(int(name)) for name in names or SIZES]
    for size in sizes:
        closes = [f"{median(run[name] for run in size.close_us):.0f}" for name in ("ingest", "indicators", "redis")]
        updates = [f"{median(run[name] for run in size.update_us):.0f}" for name in ("ingest", "redis")]
        total = f"{median(size.a_close_us):.0f} ({min(size.a_close_us):.0f} to {max(size.a_close_us):.0f})"
        memory = [f"{size.redis_bytes / 1000:.1f}", f"{size.ingest_bytes / 1e6:.0f}"]
        table.add_row(f"{size.products:,}", total, *closes, *updates, *memory)
    Console(width=120).print(table)
    print(f"on {psutil.cpu_count()} cores")
    if any(size.products == USUAL for size in sizes):
        for figure in _compared(sizes):
            print(figure)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
