"""Yardsticks: fixed work without this project, timed around a measured thing. A target is the ratio of the two times.

Other programs on the machine, or a slower machine, lengthen both times, and hardly change the ratio. A yardstick takes
about as long as the thing: a short one would mostly pass between two slices of time of the other programs.
python -m benchmarks.yardstick PORT      serves the plain HTTP server that APIs are compared with
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import httpx
import numpy as np
from redis import Redis

from app.indicators.macdv import Floats
from tests.support import Process, eventually, free_port

T = TypeVar("T")

STEPS = 200_000
"""Steps of `python_us`: 50 ms or more."""


def alternate(yardstick: Callable[[], float], work: Callable[[], T], runs: int) -> tuple[list[T], list[float]]:
    """Results of `work`, and beside each the mean of `yardstick` right before and right after it.

    A further run comes first and does not count: it opens connections and fills caches.
    """
    results, yards = [], []
    for _ in range(runs + 1):
        yards.append(yardstick())
        results.append(work())
    yards.append(yardstick())
    return results[1:], [(before + after) / 2 for before, after in pairwise(yards[1:])]


def python_us(clock: Callable[[], float]) -> float:
    """Time (µs) of a step of plain Python: a text, an addition, a dictionary."""
    held: dict[str, float] = {}
    began = clock()
    for number in range(STEPS):
        name = str(number % 100)
        held[name] = held.get(name, 0.0) + number
    return 1e6 * (clock() - began) / STEPS


def running_sum_us(column: Floats, batch: int) -> float:
    """Processor time (µs) per series of a running sum in NumPy over a column (series × bars) of records."""
    began = time.process_time()
    for first in range(0, len(column), batch):
        np.add.accumulate(np.ascontiguousarray(column[first : first + batch]), axis=1)
    return 1e6 * (time.process_time() - began) / len(column)


def round_trip_ms(client: Redis, commands: Iterable[tuple[str | bytes, ...]]) -> float:
    """Time (ms) of one round trip with all of `commands`, by redis-py."""
    began = time.perf_counter()
    with client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        pipeline.execute()
    return 1000 * (time.perf_counter() - began)


def python_starts_s(count: int) -> float:
    """Time (s) until `count` Python processes that are started at once have imported NumPy and ended."""
    began = time.perf_counter()
    started = [subprocess.Popen([sys.executable, "-c", "import numpy"]) for _ in range(count)]
    for process in started:
        process.wait()
    return time.perf_counter() - began


@contextmanager
def plain_server(folder: Path) -> Iterator[int]:
    """The port of a plain server, a process of its own: the response to /1000 has 1,000 bytes."""
    port = free_port()
    process = Process([sys.executable, "-m", "benchmarks.yardstick", str(port)], folder / "plain.log")
    try:
        eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/1").is_success, timeout=30)
        yield port
    finally:
        process.end()


async def _respond(scope: dict, receive: Callable, send: Callable) -> None:
    """An ASGI application: as many bytes as its path says."""
    await receive()
    size = int(scope["path"][1:])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    await send({"type": "http.response.body", "body": bytes(size)})


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(
        _respond,
        port=int(sys.argv[1]),
        loop="uvloop",
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
