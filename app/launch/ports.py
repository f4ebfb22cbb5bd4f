"""Ports: the purpose of each, whether it is free, and which variable moves it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import InvalidInput
from app.storage.address import netloc

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that one of the processes will listen on."""

    host: str
    number: int
    purpose: str
    variable: str


def local_url(host: str, number: int) -> str:
    """URL of a server that listens on `host`, for this machine."""
    reachable = LOOPBACK if host in ("0.0.0.0", "::") else host
    return f"http://{netloc(reachable, number)}"


def check(ports: Iterable[Port]) -> None:
    """`InvalidInput` that names every port that cannot be listened on, or that two processes want."""
    problems: list[str] = []
    wanted: dict[int, Port] = {}
    for port in ports:
        other = wanted.setdefault(port.number, port)
        problem = f"is also used by {other.purpose} ({other.variable})" if other is not port else problem_of(port)
        if problem:
            problems.append(f"port {port.number} ({port.purpose}) {problem}; move it: {port.variable}=<another port>")
    if problems:
        raise InvalidInput("\n".join(problems))


def problem_of(port: Port) -> str | None:
    """Why no process can listen on `port` now; None if one can."""
    try:
        address = socket.getaddrinfo(port.host, port.number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(address[0], socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # just closed connections do not count
            probe.bind(address[4])
            probe.listen(1)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        return "is taken by another program" if taken else f"cannot be used on {port.host}: {error.strerror}"
    return None
