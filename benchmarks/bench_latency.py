"""Latency from a bucket's closing frame to its indicator: python -m benchmarks.bench_latency [25] [700] [midnight]

Real processes, started as in the Procfile: Redis, an ingest, the indicator workers; and the local exchange, with a
clock that is moved by hand. Every product has traded in the bucket. Then a heartbeat on each connection shows that its
end and the grace have passed, and all products close at once. A latency begins when those heartbeats are given to their
sockets, and ends when a reader of the event stream has the indicator, so it includes everything.

The limit is one process without Celery that finds the same closes in Redis, and does a worker's work with them: reads
the same series, computes, writes (`Computer`), in batches of the same size, in turn with the others.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np

from app.market.candles import CandleState
from app.market.records import RECORD
from app.market.timeframes import BASE
from app.storage.changed_ranges import changed_ranges
from app.storage.model import Write
from app.tasks import SERIES_PER_TASK
from app.util.batches import batched
from benchmarks.figures import Figure
from benchmarks.installation import DAY_S, START_S, Installation, installation
from benchmarks.yardstick import alternate
from simulator.market import candles_of

RUNS = 5
ALONE = "one process without Celery"
GRACE_S = 3
"""Exchange seconds after the end of a bucket: a little more than CLOSE_GRACE_SECONDS."""

TRADED_S = 30
"""Exchange seconds before the end of a bucket at which trading in it stops."""

BEFORE_S = 240
"""Exchange seconds before midnight at which an ingest connects: in the last bucket, shortly after its first trade."""

MIDDAY_S = START_S + 12 * 3600 + 60


def few_products() -> list[Figure]:
    """25 products; a run is 12 buckets, 300 indicators, between 6 buckets of the limit before and after."""
    with tempfile.TemporaryDirectory() as folder, installation(Path(folder), 25, MIDDAY_S) as here:
        started(here)
        runs, alone = alternate(lambda: limits_ms(here, 6), lambda: bursts(here, 12), RUNS)
    all_ms = [[ms for burst in run for ms in burst] for run in runs]
    return [
        Figure("close to indicator, 25 products: p50", "ms", 3, [quantile(run, 0.5) for run in all_ms], ALONE, alone),
        Figure(
            "close to indicator, 25 products: p99", "ms", 4.5, [quantile(run, 0.99) for run in all_ms], ALONE, alone
        ),
    ]


def many_products() -> list[Figure]:
    """700 products; a run is 6 buckets, between 6 of the limit before and after."""
    with tempfile.TemporaryDirectory() as folder, installation(Path(folder), 700, MIDDAY_S) as here:
        started(here)
        runs, alone = alternate(lambda: limits_ms(here, 6), lambda: bursts(here, 6), RUNS)
    all_ms = [quantile([ms for burst in run for ms in burst], 0.99) for run in runs]
    last_ms = [median(max(burst) for burst in run) for run in runs]
    return [
        Figure("close to indicator, 700 at once: p99", "ms", 3.5, all_ms, ALONE, alone),
        Figure("close to indicator, 700 at once: the last one", "ms", 1.5, last_ms, ALONE, alone),
    ]


def midnight() -> list[Figure]:
    """700 products at 00:00 UTC, when 5m, 15m, 1h, 4h and 1d end: a run is one midnight, between two of the limit."""
    days = count(START_S + DAY_S - BEFORE_S, DAY_S)
    with tempfile.TemporaryDirectory() as folder, installation(Path(folder), 700, START_S) as here:
        here.start("indicators")

        def of_one_process() -> float:
            here.fill(next(days))
            return limit_ms(here)

        def of_all() -> list[float]:
            here.fill(next(days))
            here.connect()
            burst = next_burst(here)
            here.end("ingest")
            return burst

        runs, alone = alternate(of_one_process, of_all, RUNS)
    all_ms, last_ms = [quantile(run, 0.99) for run in runs], [max(run) for run in runs]
    return [
        Figure("close to indicator, 3,500 at midnight: p99", "ms", 2, all_ms, ALONE, alone),
        Figure("close to indicator, 3,500 at midnight: the last one", "ms", 1.5, last_ms, ALONE, alone),
    ]


def started(here: Installation) -> None:
    """Fill the series, start all processes, and use every connection once."""
    here.fill(here.now_s)
    here.start("indicators")
    here.connect()
    bursts(here, 2)
    limit_ms(here)


def bursts(here: Installation, count: int) -> list[list[float]]:
    """Latencies in ms of the indicators of `count` 5m buckets that do not end with a longer one."""
    found: list[list[float]] = []
    while len(found) < count:
        is_counted = not _ends_longer(here)
        burst = next_burst(here)
        if is_counted:
            found.append(burst)
    return found


def next_burst(here: Installation) -> list[float]:
    """Latencies in ms of all indicators of the open bucket."""
    end_s = _end_s(here)
    here.trade_until(end_s - TRADED_S)
    gc.collect()  # of the exchange and the reader, not of the measured processes
    burst = here.close(end_s + GRACE_S, len(here.products) * sum(end_s % t.seconds == 0 for t in here.timeframes))
    here.rest()
    return burst.delays_ms()


def limits_ms(here: Installation, count: int) -> float:
    """The median of `count` times of `limit_ms`."""
    return median(limit_ms(here) for _ in range(count))


def limit_ms(here: Installation) -> float:
    """Time (ms) of one process for all series that end with the open bucket, from its closed candles in Redis on."""
    is_connected = "ingest" in here.processes
    while is_connected and _ends_longer(here):
        next_burst(here)
    end_s = _end_s(here)
    if is_connected:
        here.trade_until(end_s - TRADED_S)
    changed = changed_ranges(here.context.candles.write(_closes(here, end_s - BASE.seconds)))
    gc.collect()
    began = time.perf_counter()
    for some in batched(changed, SERIES_PER_TASK):
        here.computer.update(some, end_s)
    took_ms = 1000 * (time.perf_counter() - began)
    if is_connected:
        here.trade_until(end_s + GRACE_S)  # the ingest closes the same candles now, without effect
        here.rest()
    return took_ms


def _closes(here: Installation, start_s: int) -> list[Write]:
    """The closed candle of every product for the bucket `start_s`, as an ingest writes it."""
    records = np.zeros(len(here.products), RECORD)
    for i, product in enumerate(here.products):
        trades = here.market.trades(product, start_s * 1000, (start_s + BASE.seconds) * 1000)
        candle, units = candles_of(trades, BASE.seconds)[0], here.market.products[product]
        prices = (float(units.price(int(candle[field]))) for field in ("open", "high", "low", "close"))
        observed_ms = (start_s + BASE.seconds - TRADED_S) * 1000
        records[i] = (start_s, CandleState.CLOSED, observed_ms, *prices, float(units.size(int(candle["volume"]))))
    return [Write(s, records[i : i + 1]) for i, s in enumerate(here.series(BASE))]


def _end_s(here: Installation) -> int:
    return BASE.bucket(here.now_s) + BASE.seconds


def _ends_longer(here: Installation) -> bool:
    """Whether a longer bucket ends with the open one."""
    return any(_end_s(here) % t.seconds == 0 for t in here.timeframes if t is not BASE)


def quantile(values: list[float], share: float) -> float:
    return float(np.quantile(values, share))


PARTS: dict[str, Callable[[], list[Figure]]] = {"25": few_products, "700": many_products, "midnight": midnight}


def figures() -> list[Figure]:
    return [figure for part in PARTS.values() for figure in part()]


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in PARTS]:
        print(f"no such part: {unknown[0]}; use {', '.join(PARTS)}", file=sys.stderr)
        return 2
    found = [figure for name in names or PARTS for figure in PARTS[name]()]
    for figure in found:
        print(figure)
    return int(not all(figure.is_reached for figure in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
