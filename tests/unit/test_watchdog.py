"""Which processes count as stalled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from app import watchdog
from app.storage.heartbeats import IS_LINUX, ProcessRecord, is_own_process, process_start_time
from app.watchdog import STALL_S, StallDetector
from tests.support import eventually
from workers.heartbeat import STUCK_S, Consumption

INGEST, WEB = ProcessRecord(7, "ingest", 1, "100"), ProcessRecord(8, "web", 1, "100")


def test_only_a_process_with_an_old_heartbeat_is_found() -> None:
    stalls = StallDetector()
    assert stalls.stalled([INGEST, WEB], 0) == []
    assert stalls.stalled([INGEST, WEB._replace(beats=2)], STALL_S) == []
    assert stalls.stalled([INGEST, WEB._replace(beats=3)], STALL_S + 1) == [INGEST]
    assert stalls.stalled([WEB._replace(beats=4)], STALL_S + 2) == []


def test_a_stalled_process_that_stays_is_reported_again_after_as_long() -> None:
    stalls = StallDetector()
    for now_s, expected in [(0, []), (STALL_S + 1, [INGEST]), (STALL_S + 3, []), (2 * STALL_S + 2, [INGEST])]:
        assert stalls.stalled([INGEST], now_s) == expected


def test_a_new_process_with_an_old_pid_starts_fresh() -> None:
    stalls = StallDetector()
    stalls.stalled([INGEST], 0)
    again = INGEST._replace(started="999")
    assert stalls.stalled([again], STALL_S + 1) == []
    assert stalls.stalled([again], 2 * STALL_S + 2) == [again]


def test_time_without_redis_does_not_count_against_a_process() -> None:
    stalls = StallDetector()
    stalls.stalled([INGEST], 0)
    stalls.forget()
    assert stalls.stalled([INGEST], STALL_S + 1) == []


def test_a_writer_to_redis_cannot_have_a_foreign_process_killed(caplog: pytest.LogCaptureFixture) -> None:
    with subprocess.Popen(["sleep", "600"]) as foreign:
        try:
            watchdog._end(ProcessRecord(foreign.pid, "ingest", 1, process_start_time(foreign.pid)))
            assert foreign.poll() is None
        finally:
            foreign.kill()
    assert f"pid {foreign.pid} is a foreign process, not killed" in caplog.text


def test_a_process_is_ours_by_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "import time; print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", name, "-m", "app", "ingest"], stdout=subprocess.PIPE) as ours:
        try:
            assert ours.stdout
            assert ours.stdout.readline()
            assert is_own_process(ours.pid)
            assert process_start_time(ours.pid)
            monkeypatch.setattr("app.storage.heartbeats.OWN_COMMANDS", (("-m", "appetite"),))
            assert not is_own_process(ours.pid)
            monkeypatch.setattr(os, "geteuid", lambda: 12_345)
        finally:
            ours.kill()
    assert not is_own_process(ours.pid), "it is gone"


@pytest.mark.parametrize(
    ("command", "is_own"),
    [
        ("/a/bin/candlewick ingest", True),
        ("-m candlewick web", True),
        ("-m candlewick demo", False),
        ("/a/bin/candlewick status", False),
        ("/a/other ingest", False),
    ],
)
def test_an_installed_command_is_ours_if_it_is_a_process_of_an_installation(command: str, is_own: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()", *command.split()], stdin=subprocess.PIPE) as process:
        try:
            eventually(lambda: "input()" in psutil.Process(process.pid).cmdline())  # until then it is the parent's copy
            assert is_own_process(process.pid) == is_own
        finally:
            process.kill()


@pytest.mark.skipif(not IS_LINUX, reason="`ps` lists it elsewhere")
def test_a_process_of_which_only_the_exit_code_is_left_has_ended() -> None:
    with subprocess.Popen(["true"]) as process:
        eventually(lambda: process_start_time(process.pid) == "")


@pytest.mark.skipif(shutil.which("ps") is None, reason="no ps here")
def test_without_proc_the_process_list_comes_from_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.heartbeats.IS_LINUX", False)
    monkeypatch.setattr("app.storage.heartbeats.PROC", Path("/nowhere"))
    with subprocess.Popen([sys.executable, "-c", "input()", "-m", "workers"], stdin=subprocess.PIPE) as ours:
        try:
            assert is_own_process(ours.pid)
            assert process_start_time(ours.pid) == process_start_time(ours.pid) != ""
            assert not is_own_process(os.getppid())
        finally:
            ours.kill()
    assert process_start_time(ours.pid) == ""


def test_a_worker_that_takes_no_waiting_task_is_stuck() -> None:
    consumption = Consumption(0)
    assert not consumption.is_stuck(1, 10)
    assert not consumption.is_stuck(1, 10 + STUCK_S)
    assert consumption.is_stuck(1, 11 + STUCK_S)
    consumption.received_s = 11 + STUCK_S
    assert not consumption.is_stuck(1, 12 + STUCK_S)


def test_a_worker_without_waiting_tasks_is_not_stuck() -> None:
    consumption = Consumption(0)
    assert not consumption.is_stuck(0, 1_000)
    assert not consumption.is_stuck(3, 1_001), "only now there is something"
    assert not consumption.is_stuck(0, 1_020)
    assert not consumption.is_stuck(3, 1_021 + STUCK_S)
