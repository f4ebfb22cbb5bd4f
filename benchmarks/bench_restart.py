"""Time from a restart to the first indicator: python -m benchmarks.bench_restart

Starts the whole system like `make run`, with the embedded Redis and its earlier data, every process of the Procfile,
and the local exchange. The time is from the launcher's start to the first indicator of a bucket that closes after it.
The exchange's clock is moved by hand: the open bucket ends as soon as the ingest has subscribed, because the rest of a
5m bucket at a restart (150 s on average) does not depend on this program.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from app.launch.plan import redis_socket
from app.market.timeframes import BASE
from app.storage import keys
from benchmarks.figures import Figure
from benchmarks.installation import PROCESSES, START_S, Installation
from benchmarks.market import BusyMarket
from benchmarks.venue import SteppedVenue
from benchmarks.yardstick import alternate, python_starts_s
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port

PRODUCTS, RUNS = 25, 5
NOW_S = START_S + 12 * 3600 + 60


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name, SteppedVenue(BusyMarket(PRODUCTS), NOW_S * 1000) as venue:
        folder = Path(name)
        (folder / "redis").mkdir()
        with RedisServer(folder / "redis", free_port()) as redis:
            here = Installation(folder, PRODUCTS, NOW_S, venue, redis)
            here.fill(NOW_S)
            here.context.redis.close()
        seconds, starts = alternate(lambda: python_starts_s(len(PROCESSES)), lambda: _restart_s(folder, venue), RUNS)
    yardstick = f"{len(PROCESSES)} Python processes that import NumPy, at once"
    return [Figure("restart with a warm cache to the first indicator", "s", 5, seconds, yardstick, starts)]


def _restart_s(folder: Path, venue: SteppedVenue) -> float:
    """From the launcher's start to the first indicator. Everything has ended when this returns."""
    ports = {name: str(free_port()) for name in ("CANDLEWICK_WEB_PORT", "CANDLEWICK_FLOWER_PORT")}
    env = {**os.environ, **venue.urls, **ports, "CANDLEWICK_COINBASE__PRODUCTS": "all:USD"}
    env.pop("REDIS_URL", None)
    end_s = BASE.bucket(venue.clock.now_ms() / 1000) + BASE.seconds
    began_s = time.perf_counter()
    launcher = Process([sys.executable, "-m", "app.launch", "run", "--data", str(folder)], folder / "launch.log", env)
    try:
        with Redis(unix_socket_path=str(redis_socket(folder))) as client:
            eventually(lambda: venue.subscribed() == PRODUCTS, interval=0.005)
            newest = client.xrevrange(keys.EVENTS, count=1)
            after = newest[0][0] if newest else b"0-0"
            venue.trade_until((end_s - 10) * 1000)
            venue.beat_at((end_s + 3) * 1000)
            while True:
                for _, entries in client.xread({keys.EVENTS: after}, block=1000):
                    after = entries[-1][0]
                    if any(entry[b"kind"] == b"indicator" for _, entry in entries):
                        return time.perf_counter() - began_s
                if time.perf_counter() - began_s > 60:
                    raise AssertionError(f"no indicator within a minute:\n{launcher.output()}")
    except RedisError as error:
        raise AssertionError(f"{error}:\n{launcher.output()}") from error
    finally:
        launcher.stop()


def main() -> int:
    found = figures()
    for figure in found:
        print(figure)
    return int(not all(figure.is_reached for figure in found))


if __name__ == "__main__":
    sys.exit(main())
