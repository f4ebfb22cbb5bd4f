"""Copies of the project: mutants are made in them one at a time, and tests run there.

Tests run in a fork of this process, which has imported third-party packages: that saves a second each.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import ROOT

OURS = ("app", "candlewick", "client", "simulator", "workers", "tests")
FILES = ("Procfile", "celeryconfig.py", "pyproject.toml")
PRELOADED = ("numpy", "hypothesis.strategies", "pydantic", "orjson", "redis.cluster", "requests", "celery", "websocket")
MEMORY_BYTES = 8 * 2**30
"""Limit of address space: a mutant may allocate without end."""

ARGUMENTS = (
    "-W",
    "ignore::pytest.PytestAssertRewriteWarning",
    "-q",
    "-x",
    "-p",
    "no:cacheprovider",
    "--no-header",
    "--tb=line",
    "--hypothesis-profile=mutants",
)


class Outcome(Enum):
    PASSED = "passed"
    FAILED = "failed"
    HUNG = "hung"
    BROKEN = "broken"
    """The tests could not be run."""


class Run(NamedTuple):
    """Result of a test run. `detail`: the first failure, or the end of the output."""

    outcome: Outcome
    seconds: float
    detail: str


class Copy:
    """The project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in OURS:
            ignored = shutil.ignore_patterns("__pycache__", "mutants")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        for name in FILES:
            shutil.copy2(ROOT / name, folder / name)

    def run(self, tests: Sequence[str], timeout_s: float, *, keeps_bytecode: bool = False) -> Run:
        """Run `tests` in this copy, in a separate process, until the first failure."""
        output, began = self.folder / "output", time.monotonic()
        if (child := os.fork()) == 0:
            _become_tests(self.folder, output, tests, keeps_bytecode)
        code = _wait(child, began + timeout_s)
        text = output.read_text(errors="replace")
        return Run(_outcome(code), time.monotonic() - began, _detail(text))

    @contextmanager
    def changed(self, file: str, text: str) -> Iterator[None]:
        """`file` holds `text` until the end of the block."""
        path = self.folder / file
        before, times = path.read_bytes(), path.stat()
        path.write_text(text, encoding="utf-8")
        # Never the modification time of cached bytecode: the size may be the same.
        os.utime(path, (times.st_atime, times.st_mtime + 10 + time.monotonic() % 1e6))
        try:
            yield
        finally:
            path.write_bytes(before)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def preload() -> None:
    """Import third-party packages that tests need."""
    for name in PRELOADED:
        import_module(name)


def _become_tests(folder: Path, output: Path, tests: Sequence[str], keeps_bytecode: bool) -> None:
    """Never returns."""
    code = 3
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        file = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        os.chdir(folder)
        sys.dont_write_bytecode = not keeps_bytecode
        sys.path = [str(folder), *(entry for entry in sys.path if entry and Path(entry) != ROOT)]
        for name in [name for name in sys.modules if name.split(".")[0] in (*OURS, "celeryconfig")]:
            del sys.modules[name]
        code = int(pytest.main([*ARGUMENTS, *tests]))
    except BaseException:  # nothing may return from here into the forking process
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _wait(child: int, deadline: float) -> int | None:
    """The exit code of `child`, or None if it still ran at the deadline. It has ended when this returns or raises."""
    try:
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
    except BaseException:
        _kill(child)
        raise
    _kill(child)
    return None


def _kill(child: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # its own child processes end with it
    os.waitpid(child, 0)


def _outcome(code: int | None) -> Outcome:
    if code is None:
        return Outcome.HUNG
    if code == pytest.ExitCode.OK:
        return Outcome.PASSED
    is_failure = code in (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED) or code < 0
    return Outcome.FAILED if is_failure else Outcome.BROKEN


def _detail(output: str) -> str:
    lines = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0] if lines else output[-1500:]
