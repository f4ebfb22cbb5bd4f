"""Latency from a close to the webhook request of its alert: python -m benchmarks.bench_alert_latency [rounds]

Real processes: Redis, an indicator worker, an alerts worker, and an HTTP server. In each round, 25 products close a 5m
candle at once, and each crosses a price. A latency begins when the candles are written, and ends when the webhook's
request has arrived. Between rounds, one process without Celery does the work of both workers.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import numpy as np
import orjson

from app.compute.computer import Computer
from app.context import Context
from app.market.candles import CandleState
from app.market.records import RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange, changed_ranges
from app.storage.model import Origin, Write
from benchmarks.figures import Figure
from benchmarks.yardstick import alternate
from tests.alerting import OK, Answer, service
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port
from tests.system import System

PRODUCTS = [f"P{n}-USD" for n in range(25)]
HISTORY = 600
T0 = 1_614_816_000
ROUNDS = 20
ALONE = "one process without Celery, until the last"

FILE = f"""
[[alerts.rule]]
name = "hundred"
kind = "price"
products = {orjson.dumps(PRODUCTS).decode()}
timeframes = ["5m"]
prices = [100]
cooldown_bars = 0

[alerts.channel.hook]
kind = "webhook"
url_env = "BENCH_HOOK"
secret_env = "BENCH_SECRET"
allow_private = true
"""


def candles(first: int, count: int) -> Records:
    """Bars with closes above and below 100 in turn."""
    numbers = np.arange(first, first + count)
    records = np.zeros(count, RECORD)
    records["start_s"], records["flags"] = T0 + 300 * numbers, CandleState.CLOSED
    records["observed_ms"] = (T0 + 300 * (numbers.astype(np.uint64) + 1)) * 1000
    records["close"] = np.where(numbers % 2, 99.0, 101.0)
    records["open"], records["high"], records["low"], records["volume"] = 100, 102, 98, 1
    return records


def close(context: Context, first: int, count: int = 1) -> list[ChangedRange]:
    """Write closes, as an ingest process does."""
    series = [Series("coinbase", product, Timeframe.M5) for product in PRODUCTS]
    written = context.candles.write([Write(s, candles(first, count), Origin.given(T0)) for s in series])
    context.clock.set((T0 + 300 * (first + count)) * 1000)
    return changed_ranges(written)


class Alone:
    """One process that computes and delivers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        c = context
        self._computer = Computer(c.candles, c.indicators, c.exchange, c.settings.timeframes, c.evaluator())
        self._delivery = c.delivering.current()

    def deliver(self, changed: list[ChangedRange]) -> None:
        self._computer.update(changed, changed[0].last_s + 300)
        self._delivery.drain("hook")


def measure(folder: Path, count: int) -> tuple[list[list[float]], list[float]]:
    """Latencies (ms) of each round, one per product; and the time (ms) of one process beside each round."""
    arrived: dict[str, float] = {}
    numbers = itertools.count(HISTORY)

    def answer(_: int) -> Answer:
        return OK

    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder, free_port()))
        hook = stack.enter_context(service(answer))
        take = hook.take

        def timed(path: str, headers: dict[str, str], body: bytes) -> Answer:
            arrived[headers["Idempotency-Key"]] = time.perf_counter()
            return take(path, headers, body)

        hook.take = timed  # type: ignore[method-assign]
        (folder / "candlewick.toml").write_text(FILE)
        env = {"CANDLEWICK_CONFIG": str(folder / "candlewick.toml"), "BENCH_HOOK": hook.url, "BENCH_SECRET": "bench"}
        os.environ |= env | {"REDIS_URL": redis.url}
        logs = iter(range(100))

        def start(command: list[str], **options: object) -> Process:
            process = Process(command, folder / f"{next(logs)}.log", **options)  # type: ignore[arg-type]
            stack.callback(process.end)
            return process

        system = System(start, redis.url, {**env, "CANDLEWICK_TIMEFRAMES": "5m,15m,1h,4h,1d"})
        system.start("indicators", "alerts")
        context = Context(Settings.from_environment())
        context.tasks.update(close(context, 0, HISTORY))
        several = [Series("coinbase", p, Timeframe.M5) for p in PRODUCTS]
        eventually(lambda: all(context.indicators.read_many(several)), timeout=60)

        def latencies(deliver: Callable[[list[ChangedRange]], None]) -> list[float]:
            """Latencies (ms) of a round."""
            arrived.clear()
            began = time.perf_counter()
            deliver(close(context, next(numbers)))
            eventually(lambda: len(arrived) == len(PRODUCTS), timeout=30, interval=0.005)
            return [1000 * (at - began) for at in arrived.values()]

        alone = Alone(context)
        return alternate(lambda: max(latencies(alone.deliver)), lambda: latencies(context.tasks.update), count)


def figures(count: int = ROUNDS) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        rounds, alone = measure(Path(folder), count)
    what = f"close to webhook request, {len(PRODUCTS)} alerts at once"
    return [
        Figure(f"{what}: median", "ms", 1.5, [median(one) for one in rounds], ALONE, alone),
        Figure(f"{what}: the last one", "ms", 1.5, [max(one) for one in rounds], ALONE, alone),
    ]


def main(count: int) -> int:
    found = figures(count)
    for figure in found:
        print(figure)
    return int(not all(figure.is_reached for figure in found))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
