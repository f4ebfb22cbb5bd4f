"""`candlewick watchdog --once`: the health check of a container, of which each process restarts if it stalls."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest
import redis

from app import watchdog
from app.storage.connection import connect
from app.storage.heartbeats import process_records
from tests.support import Process, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.2)]

Start = Callable[..., Process]


@pytest.fixture
def web(processes: Start, redis_client: redis.Redis, redis_url: str) -> Process:
    """A web process that has stored a heartbeat."""
    environment = {"REDIS_URL": redis_url, "CANDLEWICK_WEB_PORT": str(free_port())}
    started = processes([sys.executable, "-m", "app", "web"], env=environment)
    eventually(lambda: process_records(redis_client))
    return started


def test_a_process_that_makes_progress_is_healthy(web: Process, processes: Start, redis_url: str) -> None:
    check = processes([sys.executable, "-m", "app", "watchdog", "--once"], env={"REDIS_URL": redis_url})
    assert check.wait() == 0
    assert web.returncode is None


def test_a_stalled_process_is_killed_and_reported(
    web: Process, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.send(signal.SIGSTOP)
    monkeypatch.setattr(watchdog, "STALL_S", 1.0)
    assert not watchdog.check_once(redis_client)
    assert web.wait() == -signal.SIGKILL


def test_a_host_without_a_process_is_not_healthy(processes: Start, redis_url: str) -> None:
    assert processes([sys.executable, "-m", "app", "watchdog", "--once"], env={"REDIS_URL": redis_url}).wait() == 1


def test_no_process_is_blamed_while_redis_is_unavailable() -> None:
    with connect(f"redis://127.0.0.1:{free_port()}/0", tries=0) as client:
        assert watchdog.check_once(client)
