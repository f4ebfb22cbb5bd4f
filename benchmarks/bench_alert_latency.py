"""Latency from a close to the webhook request of its alert: python -m benchmarks.bench_alert_latency [rounds]

Real processes: Redis, an indicator worker, an alerts worker, and an HTTP server. In each round, 25 products close a 5m
candle at once, and each crosses a price. A latency begins when the candles are written, and ends when the webhook's
request has arrived.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import orjson

from app.context import Context
from app.market.candles import CandleState
from app.market.records import RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage.changed_ranges import changed_ranges
from app.storage.model import Origin, Write
from tests.alerting import OK, Answer, service
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port
from tests.system import System

PRODUCTS = [f"P{n}-USD" for n in range(25)]
HISTORY = 600
T0 = 1_614_816_000
TARGET_MS = 200

FILE = f"""
[[rule]]
name = "hundred"
kind = "price"
products = {orjson.dumps(PRODUCTS).decode()}
timeframes = ["5m"]
prices = [100]
cooldown_bars = 0

[channel.hook]
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


def close(context: Context, first: int, count: int = 1) -> None:
    """Write closes and send tasks, as an ingest process does."""
    series = [Series("coinbase", product, Timeframe.M5) for product in PRODUCTS]
    written = context.candles.write([Write(s, candles(first, count), Origin.given(T0)) for s in series])
    context.clock.set((T0 + 300 * (first + count)) * 1000)
    context.tasks.update(changed_ranges(written))


def rounds(folder: Path, count: int) -> Iterator[list[float]]:
    """Latencies in ms of each round, one per product."""
    arrived: dict[str, float] = {}

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
        (folder / "alerts.toml").write_text(FILE)
        env = {"ALERTS_FILE": str(folder / "alerts.toml"), "BENCH_HOOK": hook.url, "BENCH_SECRET": "bench"}
        os.environ["REDIS_URL"] = redis.url
        logs = iter(range(100))

        def start(command: list[str], **options: object) -> Process:
            process = Process(command, folder / f"{next(logs)}.log", **options)  # type: ignore[arg-type]
            stack.callback(process.end)
            return process

        system = System(start, redis.url, {**env, "TIMEFRAMES": "5m,15m,1h,4h,1d"})
        system.start("indicators", "alerts")
        context = Context(Settings(redis_url=redis.url))
        close(context, 0, HISTORY)
        several = [Series("coinbase", p, Timeframe.M5) for p in PRODUCTS]
        eventually(lambda: all(context.indicators.read_many(several)))
        for number in range(HISTORY, HISTORY + count):
            arrived.clear()
            began = time.perf_counter()
            close(context, number)
            eventually(lambda: len(arrived) == len(PRODUCTS), interval=0.005)
            yield [1000 * (at - began) for at in arrived.values()]


def main(count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        found = list(rounds(Path(folder), count))
    latencies = sorted(ms for a_round in found[1:] for ms in a_round)  # the first round opens the connections
    median = statistics.median(latencies)
    most = statistics.median(map(max, found[1:]))
    print(f"{count} rounds of {len(PRODUCTS)} products: close → webhook request")
    print(f"  median {median:.0f} ms (target: under {TARGET_MS})")
    print(f"  95 % under {latencies[len(latencies) * 95 // 100]:.0f} ms, most {latencies[-1]:.0f} ms")
    print(f"  the last of a round, median: {most:.0f} ms")
    return int(median >= TARGET_MS)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
