"""`python -m workers`: Celery's own processes, as the Procfile starts them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import pytest

from tests.support import Process, eventually

pytestmark = pytest.mark.integration

WORKERS = [sys.executable, "-m", "workers"]
WORKER = [*WORKERS, "worker", "-Q", "alerts", "-P", "threads", "-c", "1", "--without-gossip", "--without-mingle"]


def test_a_worker_restarts_in_the_same_process_on_sighup(processes: Callable[..., Process], redis_url: str) -> None:
    worker = processes(WORKER, env={"REDIS_URL": redis_url})
    eventually(lambda: worker.output().count(" ready.") == 1)
    worker.send(signal.SIGHUP)
    eventually(lambda: worker.output().count(" ready.") == 2)
    assert worker.stop() == 0


def test_a_wrong_option_is_one_clear_line(processes: Callable[..., Process]) -> None:
    wrong = processes([*WORKERS, "worker", "--queue", "alerts"])
    assert wrong.wait() == 2
    assert wrong.output().splitlines()[-1].startswith("Error: No such option '--queue'")
