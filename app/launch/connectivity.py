"""Checks whether the exchange can be reached: opens and closes a connection, without a request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from urllib.parse import urlsplit
from urllib.request import getproxies

CONNECT_S = 5.0
AGAIN_S = 30.0
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def unreachable(urls: Iterable[str]) -> str | None:
    """Which of `urls` cannot be connected to, and why; None if all can, or if a proxy is set."""
    if getproxies().keys() & {"http", "https", "all"}:
        return None
    problems = {url: problem for url in urls if (problem := _problem(url))}
    return "; ".join(f"{url} ({problem})" for url, problem in problems.items()) or None


def _problem(url: str) -> str | None:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or _PORTS[parts.scheme]), CONNECT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


class Connectivity:
    """Checks in the background, as a name that does not resolve may take long, until all `urls` were reached once."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = tuple(urls)
        self._reported: str | None = None
        self._found: str | None = None
        threading.Thread(target=self._check, name="reach", daemon=True).start()

    def line(self) -> str | None:
        """The state, if it has changed since the last call."""
        found, reported = self._found, self._reported
        self._reported = found
        if found == reported:
            return None
        if found is None:
            return "the exchange can be reached"
        return f"cannot reach {found}; every process keeps retrying; no data is invented"

    def _check(self) -> None:
        pause = threading.Event()
        while (found := unreachable(self._urls)) is not None:
            self._found = found
            pause.wait(AGAIN_S)
        self._found = None
