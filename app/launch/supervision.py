"""Keeps programs running: starts them, restarts those that exit, stops them, and writes their logs."""

from __future__ import annotations

import os
import re
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from app.launch.parent_death import exits_with_parent
from app.util.backoff import Backoff

STEADY_S = 10.0
"""A program that ran for this long is restarted at once; one that exited earlier, after a pause."""

STOP_S = 25.0
"""Longest wait for a program to stop: more than a worker's soft shutdown."""

MAX_LOG_BYTES = 5_000_000
OLDER_LOGS = 2
OPEN_FILES = 1024  # the default of macOS is too low for the web server

_CHECK_EVERY_S = 0.1
_PIPE_BYTES = 1 << 16  # all that a pipe holds
_COLOURS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


class Log:
    """The log of a program: a pipe to write to, and a file of at most 5 MB; older ones are in `.1` and `.2`."""

    def __init__(self, path: Path) -> None:
        self._files = [path, *(path.with_name(f"{path.name}.{number + 1}") for number in range(OLDER_LOGS))]
        self._end, self.pipe = os.pipe()  # never closed: the next process of the program writes to it, too
        os.set_blocking(self._end, False)

    def fileno(self) -> int:
        return self._end

    def copy(self) -> None:
        """Move what is in the pipe to the file. It is lost if the disk is full: the program must not wait."""
        with suppress(OSError):
            output = _COLOURS.sub(b"", os.read(self._end, _PIPE_BYTES))
            if self._files[0].exists() and self._files[0].stat().st_size + len(output) > MAX_LOG_BYTES:
                for number in range(OLDER_LOGS, 0, -1):
                    if self._files[number - 1].exists():
                        self._files[number - 1].replace(self._files[number])
            with self._files[0].open("ab") as file:
                file.write(output)


class Program:
    """A shell command that is kept running, in a session of its own.

    `exits` is the number of its exits; `exit_code` is that of the last one, negative if a signal ended it.
    """

    def __init__(self, name: str, command: str, folder: Path, logs: Path, environ: Mapping[str, str]) -> None:
        self.name = name
        self.log = Log(logs / f"{name}.log")
        self.is_wanted = False
        self.exits = 0
        self.exit_code = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._command = exits_with_parent(["/bin/sh", "-c", f"exec {command}"])
        self._folder = folder
        self._environ = environ
        self._started_s = self._due_s = float("-inf")
        self._backoff = Backoff(first_s=1.0, max_s=15.0)

    def tend(self, now_s: float) -> None:
        """Record an exit, or start the program if it is wanted and due."""
        if self.process is None:
            if self.is_wanted and now_s >= self._due_s:
                self._start(now_s)
        elif (code := self.process.poll()) is not None:
            self._record_exit(code, now_s)

    def _start(self, now_s: float) -> None:
        self._started_s = now_s
        try:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=self.log.pipe,
                stderr=self.log.pipe,
                start_new_session=True,  # Ctrl-C reaches only the launcher, which stops the others in order
            )
        except OSError as error:  # such as too many processes
            os.write(self.log.pipe, f"cannot be started: {error}\n".encode())
            self._record_exit(1, now_s)

    def _record_exit(self, code: int, now_s: float) -> None:
        self.process = None
        self.log.copy()  # complete before the exit is reported
        if now_s - self._started_s >= STEADY_S:
            self._backoff.reset()
        else:
            self._due_s = now_s + self._backoff.next_s()
        self.exit_code = code
        self.exits += 1


class Supervisor:
    """Tends groups of shell commands by name. They start on request, and stop in the reverse order of their groups.

    One thread does all of it: a process ends with the thread that started it.
    """

    def __init__(
        self, groups: Iterable[Mapping[str, str]], folder: Path, logs: Path, environ: Mapping[str, str]
    ) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, OPEN_FILES), hard), hard))
        self._groups = [[Program(*named, folder, logs, environ) for named in group.items()] for group in groups]
        self.programs = [program for group in self._groups for program in group]
        self._ending = threading.Event()
        self._is_clean = False
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def start(self, names: Collection[str]) -> None:
        """Keep the programs `names` running from now on."""
        for program in self.programs:
            program.is_wanted |= program.name in names

    def stop(self) -> bool:
        """Stop every program; returns whether all of them exited when requested."""
        self._ending.set()
        self._thread.join(len(self._groups) * STOP_S + 10)
        return self._is_clean

    def _run(self) -> None:
        try:
            while not self._ending.is_set():
                self._tend()
        finally:
            late = [process for group in reversed(self._groups) for process in self._end(group)]
            self._is_clean = not late

    def _tend(self) -> None:
        for log in select.select([program.log for program in self.programs], [], [], _CHECK_EVERY_S)[0]:
            log.copy()
        for program in self.programs:
            program.tend(time.monotonic())

    def _end(self, group: Sequence[Program]) -> list[subprocess.Popen[bytes]]:
        """Stop `group`; returns the processes that had to be killed."""
        for program in group:
            program.is_wanted = False
            if program.process:
                program.process.terminate()
        until_s = time.monotonic() + STOP_S
        while (late := [p.process for p in group if p.process]) and time.monotonic() < until_s:
            self._tend()
        for process in late:
            with suppress(OSError):  # it has just exited
                os.killpg(process.pid, signal.SIGKILL)
        while any(program.process for program in group):
            self._tend()
        return late
