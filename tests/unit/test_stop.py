"""A signal has its effect at any moment."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from app.util.stop import Stop
from tests.support import PATIENCE_S, ROOT

STORM = """
import signal
from app.util.stop import Stop

signal.signal(signal.SIGALRM, lambda *_: stop.set())
for n in range(5_000):
    stop = Stop()
    signal.setitimer(signal.ITIMER_REAL, 2e-6 + n % 100 * 1e-6)
    while not stop.wait(0.001):
        pass
"""


def test_a_signal_in_the_middle_of_a_wait_ends_it() -> None:
    """Five thousand of them, each at another moment: with an event in its place, this would hang at once."""
    subprocess.run([sys.executable, "-c", STORM], cwd=ROOT, timeout=PATIENCE_S, check=True)


def test_it_waits_for_the_given_time() -> None:
    stop, began_s = Stop(), time.monotonic()
    assert not stop.wait(0.02)
    assert time.monotonic() - began_s >= 0.02
    assert not stop.wait(-1)
    assert not stop.is_set()


@pytest.mark.parametrize("times", [1, 3])
def test_once_set_it_stays_set(times: int) -> None:
    stop = Stop()
    for _ in range(times):
        stop.set()
    assert stop.is_set()
    assert all(stop.wait(60) for _ in range(times + 2))


def test_another_thread_ends_a_wait() -> None:
    stop = Stop()
    thread = threading.Timer(0.01, stop.set)
    thread.start()
    assert stop.wait(60)
    thread.join()
