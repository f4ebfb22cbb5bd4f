"""Every program of the Procfile, and the launcher, reports wrong settings and nothing more."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.launch import procfile
from tests.hostile import SECRET, is_readable
from tests.support import ROOT, Process

pytestmark = pytest.mark.integration

PROGRAMS = {**procfile.read(ROOT / "Procfile"), "launch": "python -m app.launch demo"}
WRONG = {
    "CANDLEWICK_RECONCILE_SECONDS": "inf",
    "REDIS_URL": f"redis://u:{SECRET}\udcff@h",
    "CANDLEWICK_WEB_HOST": "x" * 70,
    "CANDLEWICK_TIMEFRAMES": "7m," * 9_000,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_wrong_settings_are_named_without_a_traceback(name: str, processes: Callable[..., Process]) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    program = processes(["sh", "-c", PROGRAMS[name]], env={**WRONG, "PATH": path})
    assert program.wait() == 2
    assert program.output().count("\n") == 1 + len(WRONG)
    assert all(f"  {setting}: " in program.output() for setting in WRONG)
    assert is_readable(program.output().removesuffix("\n"), 1_000)
