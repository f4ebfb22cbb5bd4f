"""A web process as in production, for benchmarks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support import Process, eventually, free_port


@contextmanager
def web_process(folder: Path, redis_url: str) -> Iterator[tuple[int, int]]:
    """A web process on that Redis: its port and its process id; its log is in `folder`."""
    port = free_port()
    env = {**os.environ, "REDIS_URL": redis_url, "CANDLEWICK_WEB_PORT": str(port)}
    process = Process([sys.executable, "-m", "app", "web"], folder / "web.log", env=env)
    try:
        eventually(lambda: httpx.get(f"http://127.0.0.1:{port}/healthz").is_success)
        yield port, process.pid
    finally:
        process.end()
