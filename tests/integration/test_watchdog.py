"""Stalled processes are replaced. (A worker that consumes nothing exits: test_traps.py.)"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app import watchdog
from app.storage.connection import connect
from app.util.stop import Stop
from tests.faults.world import PROCESSES, World, world
from tests.support import eventually
from workers import heartbeat

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=0.5)]

STALL_S = 6.0
"""Instead of 30 s, to keep the test short."""


@contextmanager
def watched(redis_url: str) -> Iterator[None]:
    """A watchdog in this process for the block."""
    stop = Stop()
    with connect(redis_url) as client:
        thread = threading.Thread(target=watchdog.Watchdog(client).run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def pids(everything: World) -> dict[str, int]:
    return {name: process.pid for name, process in everything.system.processes.items()}


def test_every_stalled_process_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "STALL_S", STALL_S)
    with world(tmp_path, 3, 1, *PROCESSES, "watchdog") as everything:
        system = everything.system
        redis = system.context.redis
        eventually(lambda: system.has_started(3), interval=0.3)
        (marks,) = redis.scan_iter("cw:2:heartbeats:*")
        eventually(lambda: redis.hlen(marks) > len(PROCESSES))
        before = pids(everything)
        for name in PROCESSES:
            everything.send(everything.process(name), signal.SIGSTOP)
        with watched(system.env["REDIS_URL"]):
            eventually(lambda: all(pids(everything)[n] != before[n] for n in PROCESSES), interval=0.3)
        assert pids(everything)["watchdog"] == before["watchdog"]
        # And all of it continues.
        eventually(lambda: system.now_s() > everything.exchange.now_s() - 120, interval=0.3)
        revision = indicator_revision(everything)
        eventually(lambda: indicator_revision(everything) > revision, interval=0.3)
        own_watchdog = system.processes["watchdog"]
        own_watchdog.send(signal.SIGTERM)
        assert own_watchdog.wait() == 0


def test_a_stalled_process_is_replaced_within_a_minute() -> None:
    start_s = 20
    assert watchdog.STALL_S + 2 * watchdog.CHECK_EVERY_S + start_s < 60
    assert heartbeat.STUCK_S + 2 * heartbeat.CHECK_EVERY_S + start_s < 60


def indicator_revision(everything: World) -> int:
    key = "cw:2:indicator:{coinbase:BTC-USD}:5m:macdv"
    return int(everything.system.context.redis.hget(key, "revision") or 0)
