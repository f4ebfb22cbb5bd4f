"""Speed of the API with 700 products: python -m benchmarks.bench_api

Starts a Redis and a web process on a full cache. For candles, of one series and of all in turn: requests per second,
and their p99 at about the target rate. Responses that are cached for a while are requested after that time, so that
they are read again.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx

from app.compute.computer import Computer
from app.context import Context
from app.market.series import Series
from app.market.timeframes import BASE
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.connection import connect
from app.storage.model import Origin, Write
from app.storage.products import FollowedProduct
from benchmarks.figures import Figure
from benchmarks.load import CLIENT, load
from benchmarks.web import web_process
from benchmarks.yardstick import STEPS, alternate, plain_server, python_us
from tests import filled
from tests.redis_server import RedisServer
from tests.support import free_port

PRODUCTS, BARS = 700, 600
RUNS, SECONDS, CONNECTIONS = 5, 1, 16
PAUSE_MS = 8
"""Of each connection, when the latency is measured: together they send about the target rate, or a bit more."""
COMPUTED = {"/v1/overview": 1.6, "/v1/status": 4.5, "/v1/summary": 5.5, "/readyz": 4.5, "/metrics": 4.5}
"""Target of each if it has to be read."""
REMEMBERED_S = 0.7
"""Longer than any of them is cached."""


def figures() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), free_port()) as server:
        context = Context(Settings(redis_url=server.url), connect(server.url))
        names = fill(context)
        with web_process(Path(folder), server.url) as (port, _):
            with plain_server(Path(folder)) as plain:
                found = list(_candles(port, plain, names))
            return [*found, *_computed(context, port)]


def fill(context: Context) -> list[str]:
    """Write every product's full series closed up to now, the open 5m bucket, and indicators."""
    names = [f"P{number:03}-USD" for number in range(PRODUCTS)]
    context.products.follow(FollowedProduct(name, name) for name in names)
    for timeframe in context.settings.timeframes:
        last_s = timeframe.last_over(filled.NOW_S)
        candles = [filled.walk(last_s, BARS, timeframe.seconds, seed=i) for i in range(len(names))]
        many = [Series(context.exchange, name, timeframe) for name in names]
        writes = [Write(s, some, Origin.given(int(some["start_s"][0]))) for s, some in zip(many, candles, strict=True)]
        context.candles.write(writes, announce=False)
        changed = [ChangedRange(name, timeframe, last_s, last_s) for name in names]
        Computer(context.candles, context.indicators, context.exchange, (timeframe,)).update(changed, filled.NOW_S)
    opened = [Write(Series(context.exchange, name, BASE), filled.forming(filled.OPEN_S)) for name in names]
    context.candles.write(opened, announce=False)
    filled.publish_feed(context)
    return names


def _candles(port: int, plain: int, names: list[str]) -> Iterator[Figure]:
    """`plain`: port of the plain server."""
    paths = [f"/v1/candles/{name}?timeframe=5m&limit=500" for name in names]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        size, *_ = [len(client.get(path).content) for path in paths]  # all of them: then their old rows are cached
    sends = partial(load, connections=CONNECTIONS, seconds=SECONDS)
    yardstick = "a plain server's response of that size"
    for what, some, least, most in (
        ("one series", paths[:1], 0.18, 7.5),
        (f"{len(names)} series in turn", paths, 0.11, 6.5),
    ):
        rates, plain_rates = alternate(
            lambda: sends(plain, [f"/{size}"]).per_second, lambda some=some: sends(port, some).per_second, RUNS
        )
        yield Figure(f"500 candles, {what}", "requests/s", least, rates, yardstick, plain_rates, "higher")
        loads, p99s = alternate(
            lambda: sends(plain, [f"/{size}"], pause_ms=PAUSE_MS).p99_ms,
            lambda some=some: sends(port, some, pause_ms=PAUSE_MS),
            RUNS,
        )
        rate = statistics.median(one.per_second for one in loads)
        slow = [one.p99_ms for one in loads]
        yield Figure(f"500 candles, {what}, p99 at {rate:,.0f}/s", "ms", most, slow, yardstick, p99s)


def _computed(context: Context, port: int) -> Iterator[Figure]:
    """Compared with a loop of Python, because the web process computes most of the time."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        for path, target in COMPUTED.items():
            waits, loops = alternate(
                lambda: STEPS / 1000 * python_us(time.perf_counter),
                lambda path=path: _wait_ms(context, client, path),
                RUNS,
            )
            yardstick = f"{STEPS:,} steps of plain Python"
            yield Figure(f"{path} of {PRODUCTS} products, not cached", "ms", target, waits, yardstick, loops)


def _wait_ms(context: Context, client: httpx.Client, path: str) -> float:
    filled.publish_feed(context)
    time.sleep(REMEMBERED_S)
    began_s = time.perf_counter()
    client.get(path).raise_for_status()
    return (time.perf_counter() - began_s) * 1000


def main() -> int:
    found = figures()
    print(f"client: {CLIENT}")
    for figure in found:
        print(figure)
    return 0 if all(figure.is_reached for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
