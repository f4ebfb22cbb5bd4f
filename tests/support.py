"""Shared by many tests: waiting for a condition, real processes, free ports."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import TypeVar

from app.launch.parent_death import exits_with_parent

T = TypeVar("T")
ROOT = Path(__file__).resolve().parent.parent


PATIENCE_S = 600.0
"""Limit of each wait for a condition, a response or an exit. It only ends a test that hangs: no result depends on it,
however busy the machine is.
"""


def eventually(condition: Callable[[], T], interval: float = 0.02, timeout: float = PATIENCE_S) -> T:
    """The first true value of `condition`; an exception in it counts as "not yet".

    Raises `AssertionError` with the last value after `timeout` seconds.
    """
    until = time.monotonic() + timeout
    while True:
        error: Exception | None = None
        seen: T | None = None
        try:
            seen = condition()
            if seen:
                return seen
        except Exception as problem:  # whatever it is, it may pass
            error = problem
        if time.monotonic() > until:
            last = f"{type(error).__name__}: {error}" if error else repr(seen)
            raise AssertionError(f"not within {timeout:g} s; last seen: {last}") from error
        time.sleep(interval)


PORTS = range(10_000, 32_000)
"""Below the ephemeral ports, so that none is taken between the check and the use."""


def free_port() -> int:
    """A port of loopback without a listener, not returned before."""
    return next(port for port in _ports(os.getpid()) if _is_free(port))


@cache
def _ports(pid: int) -> Iterator[int]:
    """The ports of process `pid`: neighbouring pids start far apart, at golden sections of the range."""
    first = pid * 13_597 % len(PORTS)
    return cycle([*PORTS[first:], *PORTS[:first]])


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


@contextmanager
def network_of_machine(*, changes: bool = False) -> Iterator[None]:
    """Browsers abort loading when a network interface of the machine changes: `changes` takes the lock exclusively."""
    with (Path(tempfile.gettempdir()) / "candlewick-tests-network").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if changes else fcntl.LOCK_SH)
        yield


@contextmanager
def silent(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A port that never answers: its queue is full, so the kernel drops connections."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((host, port), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class Process:
    """A real process in a session of its own; its output is in `log`."""

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        self.command = list(command)
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                exits_with_parent(self.command),  # ends with the tests if they are killed
                cwd=cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """All its output so far."""
        return self.log.read_text(errors="replace")

    def send(self, signum: int) -> None:
        """Send a signal to this process alone."""
        self._popen.send_signal(signum)

    def wait(self, timeout: float = PATIENCE_S) -> int:
        """Wait for its exit code; `AssertionError` with its output after `timeout` seconds."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} still runs after {timeout:g} s:\n{self.output()[-4000:]}") from None

    def stop(self) -> int:
        """SIGTERM, then `wait`."""
        self.send(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """Kill it and the rest of its session, in any state."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
