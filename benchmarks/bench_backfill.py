"""Targets of the backfill: python -m benchmarks.bench_backfill [start] [budget] [disconnect]

Each runs real processes on a local exchange; one table at the end. Without arguments: all of them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

from rich.console import Console
from rich.table import Table

from app.market.series import Series
from app.settings import Settings
from tests.faults.ledger import most_in_a_second
from tests.faults.world import world
from tests.oracle import followed, none, wrong_candles
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port

BUDGET = 5
PRODUCTS = 25
PROCESSES = ("ingest", "indicators", "backfill", "alerts", "beat")


class Row(NamedTuple):
    what: str
    seen: str
    to_reach: str


def bench_start(folder: Path) -> Iterable[Row]:
    """A start with 25 products in six timeframes, from an empty Redis."""
    # At real speed: at 60 times that, the 1m candles alone would need the whole budget.
    timeframes = "1m,5m,15m,1h,4h,1d"
    with world(folder, PRODUCTS, 1, *PROCESSES, speed=1, TIMEFRAMES=timeframes) as everything:
        exchange, system = everything.exchange, everything.system
        eventually(lambda: system.knows_every_series(PRODUCTS), interval=0.1)
        ledger = exchange.get("/local/ledger")["requests"]
        asked = [r for r in ledger if r["path"].endswith("/candles")]
        series = {(r["path"], r["query"].split("granularity=")[1]) for r in asked}
        first = {
            key: next(r for r in asked if (r["path"], r["query"].split("granularity=")[1]) == key) for key in series
        }
        times = sorted(r["monotonic_s"] for r in first.values())
        floor = len(series) / BUDGET
        yield Row("start: series requested", str(len(series)), str(PRODUCTS * 6))
        yield Row("start: time / the budget's minimum", f"{(times[-1] - times[0]) / floor:.2f}", "≤ 1.10")
        yield Row("start: all requests by then", str(len([r for r in asked if r["monotonic_s"] <= times[-1]])), "")
        yield Row("start: 429 responses", str(sum(r["status"] == 429 for r in ledger)), "0")
        yield Row("start: busiest second", str(most_in_a_second([r["monotonic_s"] for r in asked])), f"≤ {BUDGET}")
        many = [Series("coinbase", p, t) for p in system.context.products.delivered() for t in Settings().timeframes]
        eventually(lambda: all(system.context.indicators.read_revisions(many)))
        values = [v for v in system.context.indicators.read_many(many) if v is not None]
        yield Row("start: series with 60 candles or a reason", f"{len(values)} of {len(many)}", "all")


CALLER = """
import sys, time
from redis import Redis
from app.storage.budget import Budget
budget = Budget(Redis.from_url(sys.argv[1]), "coinbase", float(sys.argv[2]))
until = time.monotonic() + float(sys.argv[3])
while (left := until - time.monotonic()) > 0:
    if permit := budget.acquire(timeout_s=left):
        print(time.monotonic(), flush=True)
        permit.release(answered=True)
"""


def bench_budget(folder: Path) -> Iterable[Row]:
    """Four processes that request as many permits as possible, for a minute."""
    seconds = 60
    (folder / "redis").mkdir()
    with RedisServer(folder / "redis", free_port()) as server:
        command = [sys.executable, "-c", CALLER, server.url, str(BUDGET), str(seconds)]
        callers = [Process(command, folder / f"caller{i}.log") for i in range(4)]
        for caller in callers:
            caller.wait(seconds + 30)
        times = [float(line) for caller in callers for line in caller.output().split()]
    yield Row("budget: busiest second of a minute, four processes", str(most_in_a_second(times)), f"≤ {BUDGET}")
    yield Row("budget: share used", f"{len(times) / (BUDGET * seconds):.3f}", "≥ 0.95")


def bench_disconnect(folder: Path) -> Iterable[Row]:
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
        # Thin products also have empty buckets in that time; their requests do not count.
        missed_s = (gone_s // 300 + 1) * 300
        covering = [r for r in after if r["status"] == 200 and _covers(r["query"], missed_s)]
        limit_s = 5 + PRODUCTS / BUDGET
        yield Row("disconnect of 20 min: seconds to the truth", f"{took_s:.1f}", f"≤ {limit_s:g}")
        yield Row("disconnect of 20 min: requests for missing candles", str(len(covering)), str(PRODUCTS))
        yield Row("disconnect of 20 min: other requests", str(len(after) - len(covering)), "")


def _covers(query: str, bucket_s: float) -> bool:
    asked = parse_qs(query)
    return asked["granularity"] == ["FIVE_MINUTE"] and int(asked["start"][0]) <= bucket_s <= int(asked["end"][0])


BENCHES: dict[str, Callable[[Path], Iterable[Row]]] = {
    "start": bench_start,
    "budget": bench_budget,
    "disconnect": bench_disconnect,
}


def main() -> int:
    names = sys.argv[1:] or list(BENCHES)
    if unknown := [n for n in names if n not in BENCHES]:
        print(f"no such benchmark: {unknown[0]}; use {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    table = Table(title="backfill")
    for column in ("figure", "measured", "target"):
        table.add_column(column, justify="left" if column == "figure" else "right")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            for row in BENCHES[name](Path(folder)):
                table.add_row(*row)
    Console().print(table)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
