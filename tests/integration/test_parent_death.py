"""Child processes: a signal between fork and exec is not lost, and a program ends with its parent."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]
import pytest

from app.launch.parent_death import exits_with_parent, supervisor_exits_with_parent
from tests.support import PATIENCE_S, Process, eventually

pytestmark = pytest.mark.integration

SLEEP = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)"]


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


FORKED = f"""
import os, signal
signal.signal(signal.SIGTERM, lambda *_: None)  # as a supervisor's child has it until its exec
os.kill(os.getpid(), signal.SIGTERM)
command = {exits_with_parent(SLEEP)!r}
os.execv(command[0], command)
"""


def test_a_signal_between_fork_and_exec_waits_for_the_program() -> None:
    ended = subprocess.run(supervisor_exits_with_parent(_python(FORKED)), timeout=PATIENCE_S, check=False)
    assert ended.returncode == -signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_a_program_ends_when_its_parent_is_killed(processes: Callable[..., Process]) -> None:
    parent = processes(_python(f"import subprocess; subprocess.run({exits_with_parent(SLEEP)!r})"))
    eventually(lambda: "awake" in parent.output())
    (child,) = psutil.Process(parent.pid).children()
    parent.send(signal.SIGKILL)
    child.wait()
    assert not child.is_running()
