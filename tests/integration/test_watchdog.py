"""Processes that live but do not go on are replaced within a minute."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.faults.world import PROCESSES, World, world
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.whole_system]

MINUTE_S = 60


def pids(everything: World) -> dict[str, int]:
    return {name: process.pid for name, process in everything.system.processes.items()}


def test_every_process_that_stands_still_is_replaced_within_a_minute(tmp_path: Path) -> None:
    with world(tmp_path, 3, 1, *PROCESSES, "watchdog") as everything:
        system = everything.system
        eventually(lambda: system.has_started(3), timeout=60, interval=0.3)
        marks = list(system.context.redis.scan_iter("cw:1:pulse:*"))
        eventually(lambda: system.context.redis.hlen(marks[0]) >= len(PROCESSES), timeout=20)
        before = pids(everything)
        for name in PROCESSES:
            everything.send(everything.process(name), signal.SIGSTOP)
        eventually(lambda: all(pids(everything)[n] != before[n] for n in PROCESSES), timeout=MINUTE_S, interval=0.3)
        assert pids(everything)["watchdog"] == before["watchdog"]
        # And all of it goes on.
        eventually(lambda: system.now_s() > everything.exchange.now_s() - 120, timeout=30, interval=0.3)
        revision = indicator_revision(everything)
        eventually(lambda: indicator_revision(everything) > revision, timeout=30, interval=0.3)


def test_a_worker_whose_child_stands_still_is_replaced_within_a_minute(tmp_path: Path) -> None:
    with world(tmp_path, 3, 1, *PROCESSES) as everything:
        eventually(lambda: everything.system.has_started(3), timeout=60, interval=0.3)
        before = everything.process("indicators")
        child = everything.child("indicators")
        assert child is not None
        everything.send(child, signal.SIGSTOP)
        eventually(lambda: everything.process("indicators").pid != before.pid, timeout=MINUTE_S, interval=0.3)
        eventually(lambda: not psutil.pid_exists(child.pid), timeout=10)
        revision = indicator_revision(everything)
        eventually(lambda: indicator_revision(everything) > revision, timeout=30, interval=0.3)


def indicator_revision(everything: World) -> int:
    key = "cw:1:indicator:{coinbase:BTC-USD}:5m:macdv"
    return int(everything.system.context.redis.hget(key, "revision") or 0)
