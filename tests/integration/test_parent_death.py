"""Child processes: a program ends with its parent."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable

import psutil  # type: ignore[import-untyped]
import pytest

from app.launch.parent_death import exits_with_parent
from tests.support import Process, eventually

pytestmark = pytest.mark.integration

SLEEP = [sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)"]


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_a_program_ends_when_its_parent_is_killed(processes: Callable[..., Process]) -> None:
    parent = processes(_python(f"import subprocess; subprocess.run({exits_with_parent(SLEEP)!r})"))
    eventually(lambda: "awake" in parent.output())
    (child,) = psutil.Process(parent.pid).children()
    parent.send(signal.SIGKILL)
    child.wait()
    assert not child.is_running()
