"""Latency of /healthz beside clients that only hold connections: python -m benchmarks.bench_strangers

1,000 clients are silent, and 200 occasionally send one byte of a request's head. The server closes connections that
take too long; each client reconnects at once.
"""

from __future__ import annotations

import resource
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from benchmarks.figures import Figure
from benchmarks.web import web_process
from benchmarks.yardstick import plain_server
from tests.redis_server import RedisServer
from tests.support import free_port

SILENT, DRIPPING = 1_000, 200
BYTE_EVERY_S = 0.25
RUNS, RUN_S, BETWEEN_S = 5, 3.0, 0.01


class Strangers(threading.Thread):
    """`SILENT` and `DRIPPING` connections to a port, each reopened when the server has closed it."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._ended = threading.Event()
        self._open: list[socket.socket | None] = [None] * (SILENT + DRIPPING)
        self.are_there = threading.Event()
        self.made = 0

    def run(self) -> None:
        while not self._ended.is_set():
            for number, one in enumerate(self._open):
                self._open[number] = self._goes_on(one, drips=number >= SILENT)
            self.are_there.set()
            self._ended.wait(BYTE_EVERY_S)
        for one in self._open:
            if one is not None:
                one.close()

    def end(self) -> None:
        self._ended.set()
        self.join()

    def _goes_on(self, one: socket.socket | None, *, drips: bool) -> socket.socket | None:
        """`one`, after another byte if `drips`; or a new connection instead; None if none could be opened."""
        if one is not None:
            try:
                if drips:
                    one.sendall(b"x")
                if one.recv(1024, socket.MSG_DONTWAIT):
                    return one
            except BlockingIOError:
                return one
            except OSError:
                pass
            one.close()
        with suppress(OSError):
            made = socket.create_connection(("127.0.0.1", self._port), timeout=1)
            self.made += 1
            if drips:
                made.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
            return made
        return None


def figures() -> list[Figure]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of this process and of the server: as in a container
    with (
        tempfile.TemporaryDirectory() as folder,
        RedisServer(Path(folder), free_port()) as server,
        web_process(Path(folder), server.url) as (port, _),
        plain_server(Path(folder)) as plain,
        _strangers(port) as strangers,
    ):
        slowest = [_slowest_ms(f"http://127.0.0.1:{port}/healthz", f"http://127.0.0.1:{plain}/1") for _ in range(RUNS)]
        print(f"{strangers.made} connections were opened", file=sys.stderr)
    what = f"/healthz beside {SILENT:,} silent and {DRIPPING} dripping connections, the slowest of {RUN_S:g} s"
    ours, yards = zip(*slowest, strict=True)
    return [Figure(what, "ms", 4, ours, "a plain server without them", yards)]


@contextmanager
def _strangers(port: int) -> Iterator[Strangers]:
    strangers = Strangers(port)
    strangers.start()
    try:
        strangers.are_there.wait()
        yield strangers
    finally:
        strangers.end()


def _slowest_ms(*urls: str) -> list[float]:
    """The slowest response (ms) of each of `urls`, requested in turn, each on its own connection."""
    until, slowest = time.monotonic() + RUN_S, dict.fromkeys(urls, 0.0)
    with httpx.Client(timeout=30, headers={"Connection": "close"}) as client:
        while time.monotonic() < until:
            for url in urls:
                began = time.perf_counter()
                client.get(url).raise_for_status()
                slowest[url] = max(slowest[url], time.perf_counter() - began)
                time.sleep(BETWEEN_S)
    return [1000 * seconds for seconds in slowest.values()]


if __name__ == "__main__":
    for figure in figures():
        print(figure)
