"""Cost of the feed: candle updates per second through one session, and the ingest process' share of a core.

python -m benchmarks.bench_ingest
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil
from redis import Redis

from app.exchange.adapter import CandleClosed, CandleUpdated
from app.exchange.coinbase.session import CoinbaseSession
from app.storage.health import HealthCache
from benchmarks.feed import START_S, STEP_S, Feed
from benchmarks.figures import Figure
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port

PRODUCTS = [f"P{i:03d}-USD" for i in range(700)]
ROUNDS, PACE = 60, 20
"""Rounds of updates through the session, and exchange seconds between two: many, so that buckets close."""

RUNS, WINDOW_S = 7, 4.0
"""How often, and for how long, the process is measured."""


def figures() -> list[Figure]:
    return [_session(), _process()]


def _session() -> Figure:
    """Candle updates through `CoinbaseSession.frame`: 700 products, four buckets, one heartbeat per round."""
    what = "ingest: candle updates through a session, one core"
    return Figure(what, "per second", 30_000, [_updates_a_second(seed) for seed in range(RUNS)], "higher")


def _updates_a_second(seed: int) -> float:
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
    return ROUNDS * len(PRODUCTS) / took_s


def _process() -> Figure:
    """The real process, with its sockets, its writer and a real Redis, while each product trades every second."""
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), free_port()) as server:
        port = free_port()
        env = {
            "REDIS_URL": server.url,
            "PRODUCTS": ",".join(PRODUCTS),
            "EXCHANGE_WS_URL": f"ws://127.0.0.1:{port}",
            "EXCHANGE_REST_URL": f"http://127.0.0.1:{free_port()}",  # unused: PRODUCTS lists names
        }
        feed = Process([sys.executable, "-m", "benchmarks.feed", str(port)], Path(folder) / "feed.log")
        ingest = Process(
            [sys.executable, "-m", "app", "ingest"], Path(folder) / "ingest.log", env={**os.environ, **env}
        )
        try:
            with Redis.from_url(server.url) as client:
                shares, frames_a_second = _watch(psutil.Process(ingest.pid), HealthCache(client, "coinbase"))
        finally:
            ingest.end()
            feed.end()
    # With a heartbeat of each connection.
    assert 0.98 < statistics.mean(frames_a_second) / (len(PRODUCTS) + 7) < 1.02, frames_a_second
    return Figure("ingest: the process at 700 updates per second", "% of a core", 5, shares)


def _watch(process: psutil.Process, health: HealthCache) -> tuple[list[float], list[float]]:
    """The process's share of a core in per cent, and its frames per second, in each window."""

    def told() -> tuple[int, float]:
        """The number of frames in its last report, and the time of the report."""
        rows = health.read().values()
        frames = sum(c["session"]["frames"] for row in rows for c in row["connections"])
        return frames, max((row["stored_ms"] / 1000 for row in rows), default=0)

    eventually(lambda: told()[0] > 3 * len(PRODUCTS), interval=0.1)
    shares, rates = [], []
    for _ in range(RUNS):
        (before, before_s), used_s, began = told(), sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(WINDOW_S)
        shares.append(100 * (sum(process.cpu_times()[:2]) - used_s) / (time.monotonic() - began))
        after, after_s = told()
        rates.append((after - before) / (after_s - before_s))
    return shares, rates


def main() -> None:
    for figure in figures():
        print(figure)


if __name__ == "__main__":
    main()
