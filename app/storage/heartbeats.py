"""Heartbeats: each process increments a number in Redis while it works. The watchdog of its host reads it.

The status counts processes with a recent heartbeat. Their times are of Redis' clock, which all hosts share.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import orjson
from redis import Redis

from app.storage import keys
from app.storage.connection import hash_at
from app.storage.entries import readable
from app.storage.scripts import script

EVERY_S = 1.0
"""Minimum of real seconds between two heartbeats."""

KEPT_S = 86_400
"""Real seconds after which Redis drops the heartbeats of a host without processes: hosts come and go."""

GONE_MS = 15_000
"""A process without a heartbeat for this long is no longer counted."""


IS_LINUX = sys.platform == "linux"
PROC = Path("/proc")

OWN_COMMANDS = (
    *(("-m", name) for name in ("app", "workers")),
    *(("candlewick", command) for command in ("ingest", "web", "watchdog")),
)
"""Adjacent words of a command line that start a process of this program; of a path, its last part counts."""


class ProcessRecord(NamedTuple):
    """The last heartbeat of process `pid`. `started` distinguishes it from a later process with the same pid."""

    pid: int
    role: str
    beats: int
    started: str


class Heartbeat:
    """The heartbeat of this process. Call `beat` after each piece of work."""

    def __init__(self, client: Redis, role: str) -> None:
        self._client = client
        self._store = script(client, "heartbeat")
        self._role = role
        self._count = 0
        self._sent_s = 0.0

    def beat(self) -> None:
        """Store a heartbeat, if the last one is old enough. Raises redis errors."""
        if time.monotonic() - self._sent_s < EVERY_S:
            return
        if not self._count:
            process_records(self._client)  # removes heartbeats of processes that are gone
        self._count += 1
        pid = os.getpid()
        row = {"role": self._role, "beats": self._count, "started": process_start_time(pid)}
        host = socket.gethostname()
        self._store(
            keys=[keys.heartbeats(host), keys.PROCESSES],
            args=[pid, orjson.dumps(row), KEPT_S, f"{self._role}|{host}|{pid}", GONE_MS],
        )
        self._sent_s = time.monotonic()


def process_records(client: Redis) -> list[ProcessRecord]:
    """The heartbeats of the processes of this host. Removes the ones of processes that are gone."""
    key, found = keys.heartbeats(socket.gethostname()), []
    for mark in readable("heartbeats", hash_at(client, key).items(), _mark):
        if process_start_time(mark.pid) == mark.started:
            found.append(mark)
        else:
            client.hdel(key, str(mark.pid))
    return found


def _mark(entry: tuple[bytes, bytes]) -> ProcessRecord:
    row = orjson.loads(entry[1])
    return ProcessRecord(int(entry[0]), str(row["role"]), int(row["beats"]), str(row["started"]))


def live_process_counts(client: Redis) -> dict[str, int]:
    """Number of running processes on all hosts, by role."""
    with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zrange(keys.PROCESSES, 0, -1, withscores=True)
        (seconds, _), last_beats = pipe.execute()
    names = (
        name.decode(errors="replace").partition("|")[0]
        for name, beat_ms in last_beats
        if beat_ms > seconds * 1000 - GONE_MS
    )
    return dict(sorted(Counter(names).items()))


def process_start_time(pid: int) -> str:
    """Start time of process `pid` of this host, as its kernel counts; empty if there is none, or only its exit code."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[19]
    except (OSError, IndexError):
        return "" if IS_LINUX else _from_ps("lstart", pid)


def is_own_process(pid: int) -> bool:
    """Whether process `pid` of this host runs this program as this user, by the kernel, not by Redis."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        is_own = (PROC / str(pid)).stat().st_uid == os.geteuid()
    except OSError:
        if IS_LINUX:
            return False
        words, is_own = _from_ps("command", pid).split(), _from_ps("uid", pid) == str(os.geteuid())
    return is_own and any((os.path.basename(a), b) in OWN_COMMANDS for a, b in pairwise(words))


def _from_ps(what: str, pid: int) -> str:
    """Output of `ps` for a process, for systems without /proc; empty if the process does not exist."""
    done = subprocess.run(["ps", "-o", f"{what}=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()
