"""Promises of the backfill: python -m benchmarks.bench_backfill [start] [budget] [disconnect]

Each part runs real processes on a local exchange. Without arguments: all of them. Times depend on the request budget
more than on the machine, so they are compared with it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

from app.market.series import Series
from app.settings import Settings
from benchmarks.figures import Figure
from tests.faults.ledger import most_in_a_second
from tests.faults.world import world
from tests.oracle import followed, none, wrong_candles
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port

BUDGET = 5
PRODUCTS = 25
PROCESSES = ("ingest", "indicators", "backfill", "alerts", "beat")


MINIMUM = "as many requests at the budget's rate"


def bench_start(folder: Path) -> Iterator[Figure]:
    """A start with 25 products in six timeframes, from an empty Redis."""
    # At real speed: at 60 times that, the 1m candles alone would need the whole budget.
    timeframes = "1m,5m,15m,1h,4h,1d"
    with world(folder, PRODUCTS, 1, *PROCESSES, speed=1, CANDLEWICK_TIMEFRAMES=timeframes) as everything:
        exchange, system = everything.exchange, everything.system
        eventually(lambda: system.knows_every_series(PRODUCTS), interval=0.1)
        ledger = exchange.get("/local/ledger")["requests"]
        asked = [r for r in ledger if r["path"].endswith("/candles")]
        series = {(r["path"], r["query"].split("granularity=")[1]) for r in asked}
        first = {
            key: next(r for r in asked if (r["path"], r["query"].split("granularity=")[1]) == key) for key in series
        }
        times = sorted(r["monotonic_s"] for r in first.values())
        by_then = sum(r["monotonic_s"] <= times[-1] for r in asked)
        took_s = times[-1] - times[0]
        yield Figure("start: until all series were requested", "s", 1.1, [took_s], MINIMUM, [by_then / BUDGET])
        # Informative: both numbers depend on how many candles are built from shorter ones.
        yield Figure("start: requested series", "", None, [len(series)])
        yield Figure("start: all requests by then", "", None, [by_then])
        yield Figure("start: 429 responses", "", 0, [sum(r["status"] == 429 for r in ledger)])
        yield Figure("start: busiest second", "", BUDGET, [most_in_a_second([r["monotonic_s"] for r in asked])])
        many = [Series("coinbase", p, t) for p in system.context.products.delivered() for t in Settings().timeframes]
        eventually(lambda: all(system.context.indicators.read_revisions(many)))
        values = [v for v in system.context.indicators.read_many(many) if v is not None]
        yield Figure("start: series with 60 candles or a reason", "", len(many), [len(values)], better="higher")


CALLER = """
import sys, time
from redis import Redis
from app.storage.budget import Budget
budget = Budget(Redis.from_url(sys.argv[1]), "coinbase", float(sys.argv[2]))
until = time.monotonic() + float(sys.argv[3])
while (left := until - time.monotonic()) > 0:
    if permit := budget.acquire(timeout_s=left):
        print(time.monotonic(), flush=True)
        budget.release(permit, answered=True)
"""


def bench_budget(folder: Path) -> Iterator[Figure]:
    """Four processes that request as many permits as possible, for a minute."""
    seconds = 60
    (folder / "redis").mkdir()
    with RedisServer(folder / "redis", free_port()) as server:
        command = [sys.executable, "-c", CALLER, server.url, str(BUDGET), str(seconds)]
        callers = [Process(command, folder / f"caller{i}.log") for i in range(4)]
        for caller in callers:
            caller.wait(seconds + 30)
        times = [float(line) for caller in callers for line in caller.output().split()]
    yield Figure("budget: busiest second of a minute, four processes", "", BUDGET, [most_in_a_second(times)])
    yield Figure("budget: share used", "", 0.95, [len(times) / (BUDGET * seconds)], better="higher")


def bench_disconnect(folder: Path) -> Iterator[Figure]:
    """A disconnect of twenty market minutes."""
    with world(folder, PRODUCTS, 1, *PROCESSES) as everything:
        exchange, system = everything.exchange, everything.system
        eventually(lambda: system.has_started(PRODUCTS), interval=0.1)
        system.wait_until(system.now_s() + 60)
        before = len(exchange.requests_for_candles())
        # The connection is back half-way through a bucket, when the last one has settled.
        eventually(lambda: 100 < exchange.now_s() % 300 < 160, interval=0.02)
        exchange.inject("refuse_connections", for_seconds=20)
        exchange.inject("reset")
        gone_s = exchange.now_s()
        eventually(lambda: exchange.now_s() > gone_s + 1200, interval=0.05)
        eventually(lambda: system.now_s() > gone_s + 1200, interval=0.02)
        back, products = time.monotonic(), followed(system, exchange)
        timeframes = system.context.settings.timeframes
        until_s = gone_s + 1200
        compared = (system, exchange, products, timeframes, until_s)
        eventually(lambda: none(wrong_candles(*compared)), interval=0.1)
        took_s = time.monotonic() - back
        after = exchange.requests_for_candles()[before:]
        missed_s = (gone_s // 300 + 1) * 300
        covering = [r for r in after if r["status"] == 200 and _covers(r["query"], missed_s)]
        what = "disconnect of 20 min"
        yield Figure(f"{what}: until all candles are true", "s", None, [took_s], MINIMUM, [len(after) / BUDGET])
        yield Figure(f"{what}: requests for missing candles per product", "", 1, [len(covering) / PRODUCTS])
        # Informative: thin products also have empty buckets in that time.
        yield Figure(f"{what}: other requests", "", None, [len(after) - len(covering)])


def _covers(query: str, bucket_s: float) -> bool:
    asked = parse_qs(query)
    return asked["granularity"] == ["FIVE_MINUTE"] and int(asked["start"][0]) <= bucket_s <= int(asked["end"][0])


PARTS: dict[str, Callable[[Path], Iterator[Figure]]] = {
    "start": bench_start,
    "budget": bench_budget,
    "disconnect": bench_disconnect,
}


def figures(names: Iterable[str] = PARTS) -> list[Figure]:
    found = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found += PARTS[name](Path(folder))
    return found


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in PARTS]:
        print(f"no such part: {unknown[0]}; use {', '.join(PARTS)}", file=sys.stderr)
        return 2
    found = figures(names or PARTS)
    for figure in found:
        print(figure)
    return int(not all(figure.is_reached for figure in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
