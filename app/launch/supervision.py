"""Runs Supervisor, which keeps the processes running: its configuration, its process, and its reports."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, cast

from supervisor.xmlrpc import SupervisorTransport

from app.errors import Unready
from app.launch.parent_death import exits_with_parent, supervisor_exits_with_parent
from app.launch.sockets import socket_path

STEADY_S = 10
"""A process that ran for this long has started; one that exited earlier is restarted after a pause."""

MAX_RETRIES = 15
"""The pause grows by 1 s per try; after this many Supervisor gives up, and the launcher starts the process."""

STOP_S = 25
"""Longest wait for a process to stop: more than a worker's soft shutdown."""

_APP = "app"

_SUPERVISORD = """\
[supervisord]
nodaemon = true
silent = true
logfile = {logs}/supervisord.log
logfile_maxbytes = 1MB
logfile_backups = 1
pidfile = {folder}/supervisord.pid
childlogdir = {logs}
strip_ansi = true

[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl = unix://{socket}
"""

_PROGRAM = """
[program:{name}]
command = {command}
directory = {directory}
priority = {priority}
autostart = {autostart}
autorestart = true
startsecs = {steady}
startretries = {retries}
stopsignal = TERM
stopasgroup = false
killasgroup = true
stopwaitsecs = {stop}
redirect_stderr = true
stdout_logfile = {logs}/{name}.log
stdout_logfile_maxbytes = 5MB
stdout_logfile_backups = 2
"""

_GROUP = """
[group:{name}]
programs = {programs}
priority = 20
"""


@dataclass(frozen=True, slots=True)
class ProcessState:
    """State of a process, as reported by Supervisor.

    `pid` is 0 while it does not run. `state` is one of Supervisor's names. `started_s` is its last start in UNIX
    seconds, 0 if there was none. `exit_code` is that of its last exit.
    """

    name: str
    pid: int
    state: str
    started_s: int
    exit_code: int


def configuration(root: Path, folder: Path, programs: Mapping[str, str], redis: str | None) -> str:
    """Supervisor's configuration: `redis` starts first and stops last, the others start on request."""
    logs = folder / "logs"
    places = {"folder": folder, "logs": logs, "socket": supervisor_socket(folder)}
    parts = [_SUPERVISORD.format(**{name: _escaped(str(value)) for name, value in places.items()})]
    if redis is not None:
        parts.append(_program("redis", redis, root, logs, priority=10, autostart=True))
    parts += [_program(name, command, root, logs, priority=20, autostart=False) for name, command in programs.items()]
    parts.append(_GROUP.format(name=_APP, programs=",".join(programs)))
    return "".join(parts)


def _program(name: str, command: str, directory: Path, logs: Path, *, priority: int, autostart: bool) -> str:
    line = shlex.join(exits_with_parent(["/bin/sh", "-c", f"exec {command}"]))
    return _PROGRAM.format(
        name=name,
        command=_escaped(line),
        directory=_escaped(str(directory)),
        logs=_escaped(str(logs)),
        priority=priority,
        autostart=str(autostart).lower(),
        steady=STEADY_S,
        retries=MAX_RETRIES,
        stop=STOP_S,
    )


def _escaped(value: str) -> str:
    """`value`, escaped for the configuration: a percent sign begins an expansion there."""
    return value.replace("%", "%%")


def supervisor_socket(folder: Path) -> Path:
    """Socket of the Supervisor of the launch in `folder`."""
    return socket_path(folder, "supervisor.sock")


class Supervisor:
    """A running supervisord. Its folder must exist; `Unready` if it does not start."""

    def __init__(self, folder: Path, text: str, environ: Mapping[str, str]) -> None:
        self._folder = folder
        config = folder / "supervisord.conf"
        config.write_text(text, encoding="utf-8")
        with (folder / "logs" / "supervisord.out").open("wb") as output:
            self._process = subprocess.Popen(
                supervisor_exits_with_parent([sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]),
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C reaches only the launcher, which stops the others in order
            )
        self._transport = SupervisorTransport(serverurl=f"unix://{supervisor_socket(folder)}")
        self._proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=self._transport)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def start_programs(self, names: Iterable[str] = ()) -> None:
        """Start the processes `names`, or all stopped ones but Redis; does not wait for them."""
        for name in names:
            self.begin_again(name)
        if not names:
            self._call("startProcessGroup", _APP, False)

    def begin_again(self, name: str) -> None:
        """Start a process that does not run, such as one that Supervisor has given up."""
        self._call("startProcess", name if name == "redis" else f"{_APP}:{name}", False)

    def states(self) -> list[ProcessState]:
        """Every process's state now; `Unready` if Supervisor does not answer."""
        return [
            ProcessState(info["name"], info["pid"], info["statename"], info["start"], info["exitstatus"])
            for info in self._call("getAllProcessInfo")
        ]

    def stop(self) -> bool:
        """Stop every process, Redis last, then Supervisor itself; returns whether all stopped cleanly."""
        self._transport.close()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(timeout=2 * STOP_S + 10) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()  # the others exit with their parent
            self._process.wait()
            return False

    def last_words(self) -> str:
        """The end of supervisord's own output."""
        return (self._folder / "logs" / "supervisord.out").read_text(errors="replace")[-2000:].strip()

    def wait_ready(self, seconds: float = 15.0) -> None:
        """Return when Supervisor answers; `Unready` with its last output if it exits instead."""
        until = time.monotonic() + seconds
        while True:
            try:
                self.states()
                return
            except Unready as error:
                if not self.is_alive or time.monotonic() > until:
                    raise Unready(f"Supervisor did not start: {self.last_words() or error}") from None
            time.sleep(0.05)

    def _call(self, method: str, *arguments: object) -> list[dict[str, Any]]:
        try:
            return cast(list[dict[str, Any]], getattr(self._proxy.supervisor, method)(*arguments))
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            self._transport.close()  # else it keeps a broken connection, which breaks every later call
            raise Unready(f"Supervisor: {method}: {error}") from None
