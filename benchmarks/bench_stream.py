"""Delay and completeness of live events for many clients of one web process.

    python -m benchmarks.bench_stream --clients 200 --products 25 --seconds 600

Starts a Redis and a web process, and writes events like a market at 60 times real speed (every 5 s all products close
and get their indicators, every 15 s also 15m, and so on). One client is frozen from its first bytes to the end, one is
disconnected repeatedly and resumes by its last id, and the rest read as fast as they can. Clients and writer run in
this process, so they use the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import psutil
import redis

from app.market.timeframes import Timeframe
from app.storage import keys
from benchmarks.figures import Figure
from benchmarks.web import web_process
from tests.redis_server import RedisServer
from tests.support import free_port

SPEED = 60
FIGURES_S = 30
TIMEFRAMES = (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)
NUMBER = re.compile(rb'id: (\d+)-(\d+)\nevent: \w+\ndata: \{"n":(\d+),')


class Follower:
    """A client that checks that all numbers arrive in order, once."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.next = 0
        self.wrong = 0
        self.has_begun = False
        self.delays_ms: list[float] = []
        self._last_id = "0-0"
        self._rest = b""

    async def follow(self, *, cut_every: int = 0) -> None:
        """Read until cancelled. `cut_every`: reconnect after this many chunks; 0: never."""
        while True:
            reader, writer = await self.connect()
            chunks = 0
            while chunk := await reader.read(1 << 18):
                self.take(chunk)
                chunks += 1
                if cut_every and chunks % cut_every == 0:
                    break
            writer.transport.abort()
            self._rest = b""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 16)
        writer.write(f"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {self._last_id}\r\n\r\n".encode())
        return reader, writer

    def take(self, chunk: bytes) -> None:
        """Check `chunk`, and remember the id of the last whole event."""
        now_ms, self.has_begun = time.time() * 1000, True
        known = self._rest + chunk
        whole = known.rfind(b"\n\n") + 2 if b"\n\n" in chunk else 0
        found, self._rest = NUMBER.findall(known, 0, whole), known[whole:]
        for _, _, number in found:
            self.wrong += int(number) != self.next
            self.next = int(number) + 1
        if found:
            self._last_id = f"{found[-1][0].decode()}-{found[-1][1].decode()}"
            self.delays_ms.append(now_ms - int(found[-1][0]))


async def write_market(client: redis.Redis, products: int, seconds: float) -> int:
    """Write events for `seconds`; returns how many."""
    number, started, five = 0, time.monotonic(), Timeframe.M5.seconds
    bucket = 0
    while time.monotonic() - started < seconds:
        bucket += 1
        closing = [t for t in TIMEFRAMES if bucket * five % t.seconds == 0]
        for timeframe in closing:
            number = await asyncio.to_thread(_write, client, products, timeframe, number)
        await asyncio.sleep(max(0.0, started + bucket * five / SPEED - time.monotonic()))
    return number


def _write(client: redis.Redis, products: int, timeframe: Timeframe, number: int) -> int:
    """Write a close and an indicator of each product, in the batches of the writer and the workers."""
    for first in range(0, products, 64):
        some = [f"P{i:03d}-USD" for i in range(first, min(products, first + 64))]
        for kind, pad in (("close", 190), ("indicator", 330)):
            with client.pipeline(transaction=True) as pipe:
                for product in some:
                    data = orjson.dumps({"n": number, "product": product, "pad": "x" * pad})
                    entry = {"kind": kind, "series": f"coinbase:{product}:{timeframe}", "data": data}
                    pipe.xadd(keys.EVENTS, entry, maxlen=20_000, approximate=True)
                    number += 1
                pipe.execute()
    return number


class Outcome(NamedTuple):
    """`failed`: reading clients that missed or repeated an event. `p99_ms`: delay from an event to its clients."""

    failed: int
    p99_ms: float


async def run(port: int, client: redis.Redis, web: psutil.Process, options: argparse.Namespace) -> Outcome:
    followers = [Follower(port) for _ in range(options.clients - 1)]
    tasks = [asyncio.create_task(f.follow(cut_every=20 if i == 0 else 0)) for i, f in enumerate(followers)]
    frozen = Follower(port)
    frozen_reader, frozen_writer = await frozen.connect()
    await frozen_reader.read(10)
    frozen_writer.transport.pause_reading()  # type: ignore[attr-defined]
    while not all(f.has_begun for f in followers):
        await asyncio.sleep(0.05)
    memory_before, cpu_before, began = web.memory_info().rss, sum(web.cpu_times()[:2]), time.monotonic()
    written = await write_market(client, options.products, options.seconds)
    took = time.monotonic() - began
    cpu = (sum(web.cpu_times()[:2]) - cpu_before) / took
    memory = web.memory_info().rss
    until = time.monotonic() + 20
    while min(f.next for f in followers) < written and time.monotonic() < until:
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    frozen_writer.transport.abort()
    frozen_kept = await resume_frozen(frozen, written)
    delays = np.array([d for f in followers[1:] for d in f.delays_ms])
    complete = sum(f.next == written and not f.wrong for f in followers)
    print(f"{options.clients} clients, {options.products} products at {SPEED} times real time for {took:.0f} s")
    print(f"  events written      {written} ({written / took:.0f}/s, {written * options.clients / took:.0f}/s sent)")
    print(f"  clients complete    {complete} of {len(followers)} that read (every event, once, in order)")
    print(f"  the frozen one      {frozen_kept}")
    print(f"  delay, ms           p50 {np.quantile(delays, 0.5):.1f}  p99 {np.quantile(delays, 0.99):.1f}  "
          f"worst {delays.max():.1f}")  # fmt: skip
    print(f"  web process         {cpu:.0%} of a core, {memory_before / 1e6:.0f} → {memory / 1e6:.0f} MB")
    return Outcome(len(followers) - complete, float(np.quantile(delays, 0.99)))


async def resume_frozen(frozen: Follower, written: int) -> str:
    """Reconnect with the id of its first bytes: receives the kept events, and a gap if some are gone."""
    reader, writer = await frozen.connect()
    gap, until, first = False, time.monotonic() + 20, None
    while frozen.next < written and time.monotonic() < until:
        chunk = await asyncio.wait_for(reader.read(1 << 18), 10)
        gap = gap or b"event: gap" in chunk
        before = frozen.next
        frozen.take(chunk)
        first = frozen.next if first is None and frozen.next != before else first
    writer.transport.abort()
    told = "received a gap event" if gap else "lost nothing"
    return f"resumed up to event {frozen.next} of {written} and {told}"


def figures() -> list[Figure]:
    """A short run; use `main` for a long one."""
    seen = _measure(_options([f"--seconds={FIGURES_S}"]))
    return [
        Figure("200 stream clients, one frozen: others that miss an event", "clients", 0, [seen.failed]),
        # Informative: most of it, on a quiet machine, is the configured pause of the web process between two reads
        # (`app.web.stream.hub.PACE_S`). No yardstick has that, so the load of the machine would decide about a ratio.
        Figure("delay from an event to 200 stream clients, p99", "ms", None, [seen.p99_ms]),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    return 1 if _measure(_options(argv)).failed else 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--products", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=60)
    return parser.parse_args(argv)


def _measure(options: argparse.Namespace) -> Outcome:
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(Path(folder), free_port()) as store,
        web_process(Path(folder), store.url) as (port, pid),
        redis.Redis.from_url(store.url) as client,
    ):
        return asyncio.run(run(port, client, psutil.Process(pid), options))


if __name__ == "__main__":
    sys.exit(main())
