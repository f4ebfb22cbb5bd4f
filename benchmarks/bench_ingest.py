"""Cost of the feed: processor time of a candle update through one session, and in the ingest process.

python -m benchmarks.bench_ingest
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path

import psutil
from redis import Redis

from app.exchange.adapter import CandleClosed, CandleUpdated
from app.exchange.coinbase.session import CoinbaseSession
from app.storage.health import HealthCache
from benchmarks.feed import START_S, STEP_S, Feed
from benchmarks.figures import Figure
from benchmarks.yardstick import alternate, python_us
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port

PRODUCTS = [f"P{i:03d}-USD" for i in range(700)]
ROUNDS, PACE = 60, 20
"""Rounds of updates through the session, and exchange seconds between two: many, so that buckets close."""

RUNS, WINDOW_S = 7, 4.0
"""How often, and for how long, the process is measured."""

STEP = "a step of plain Python"
_step_us = partial(python_us, time.process_time)


def figures() -> list[Figure]:
    return [_session(), _process()]


def _session() -> Figure:
    """Candle updates through `CoinbaseSession.frame`: 700 products, four buckets, one heartbeat per round."""
    seeds = count()
    took, steps = alternate(_step_us, lambda: _update_us(next(seeds)), RUNS)
    return Figure("ingest: a candle update through a session", "µs", 130, took, STEP, steps)


def _update_us(seed: int) -> float:
    """Processor time (µs) of one update."""
    feed = Feed(PRODUCTS, seed)
    hello = feed.hello(START_S)
    frames = [frame for i in range(ROUNDS) for frame in feed.second(START_S + i * PACE)]
    session = CoinbaseSession("coinbase-1", PRODUCTS)
    session.opened(0)
    for frame in hello:
        session.frame(frame, 0)
    kinds = {CandleUpdated: 0, CandleClosed: 0}
    began = time.process_time()
    for number, frame in enumerate(frames):
        for event in session.frame(frame, number):
            kinds[type(event)] = kinds.get(type(event), 0) + 1
    took_s = time.process_time() - began
    assert kinds[CandleUpdated] == ROUNDS * len(PRODUCTS)
    assert kinds[CandleClosed] == (ROUNDS * PACE // STEP_S - 1) * len(PRODUCTS)
    return 1e6 * took_s / (ROUNDS * len(PRODUCTS))


def _process() -> Figure:
    """The real process, with its sockets, its writer and a real Redis, while each product trades every second."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), free_port()) as server:
        port = free_port()
        env = {
            "REDIS_URL": server.url,
            "CANDLEWICK_COINBASE__PRODUCTS": ",".join(PRODUCTS),
            "CANDLEWICK_COINBASE__WS_URL": f"ws://127.0.0.1:{port}",
            "CANDLEWICK_COINBASE__REST_URL": f"http://127.0.0.1:{free_port()}",  # unused: PRODUCTS lists names
        }
        feed = Process([sys.executable, "-m", "benchmarks.feed", str(port)], Path(folder) / "feed.log")
        ingest = Process(
            [sys.executable, "-m", "app", "ingest"], Path(folder) / "ingest.log", env={**os.environ, **env}
        )
        try:
            with Redis.from_url(server.url) as client:
                took, steps = _watch(psutil.Process(ingest.pid), HealthCache(client, "coinbase"))
        finally:
            ingest.end()
            feed.end()
    return Figure("ingest: the process at 700 updates per second, an update", "µs", 650, took, STEP, steps)


def _watch(process: psutil.Process, health: HealthCache) -> tuple[list[float], list[float]]:
    """Processor time (µs) of the process per update in each window, and the yardstick beside it."""

    def told() -> tuple[int, float]:
        """The number of frames in its last report, and the time of the report."""
        rows = health.read().values()
        frames = sum(c["session"]["frames"] for row in rows for c in row["connections"])
        return frames, max((row["stored_ms"] / 1000 for row in rows), default=0)

    eventually(lambda: told()[0] > 3 * len(PRODUCTS), timeout=60, interval=0.1)
    rates = []

    def window() -> float:
        (before, before_s), used_s, began = told(), sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(WINDOW_S)
        share = (sum(process.cpu_times()[:2]) - used_s) / (time.monotonic() - began)
        after, after_s = told()
        rates.append((after - before) / (after_s - before_s))
        return 1e6 * share / len(PRODUCTS)

    took, steps = alternate(_step_us, window, RUNS)
    # With a heartbeat of each connection.
    assert 0.98 < statistics.mean(rates) / (len(PRODUCTS) + 7) < 1.02, rates
    return took, steps


def main() -> None:
    for figure in figures():
        print(figure)


if __name__ == "__main__":
    main()
