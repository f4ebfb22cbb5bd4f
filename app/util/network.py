"""Connections to external services: any address that answers, one total time-out, one store of certificates."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from typing import Any

import certifi
import urllib3
from requests import Session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

STORES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
"""Variables that name a file of certificates; without one, Mozilla's are trusted."""

SOCKS = "the proxy in the environment (HTTPS_PROXY, ALL_PROXY) must be an HTTP proxy; SOCKS is not supported"

Option = tuple[int, int, int]


def trusted() -> str:
    """File of the trusted certificates, for the stream and for REST."""
    return next((os.environ[name] for name in STORES if os.environ.get(name)), certifi.where())


def connect_any(
    host: str,
    port: int,
    timeout_s: float,
    options: Iterable[Option] = (),
    check: Callable[[str], None] = lambda _: None,
) -> socket.socket:
    """Connect to the first address of `host` that answers within `timeout_s`.

    Each address gets a share of the time, so a silent one does not block the others. `check` raises `OSError` for an
    address that must not be used. Raises the error of the last address, or `socket.gaierror`.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    until_s, last = time.monotonic() + timeout_s, OSError("no address")
    for tried, (family, kind, protocol, _, address) in enumerate(found):
        left_s = max(0.05, until_s - time.monotonic())
        try:
            check(str(address[0]))
            return _connected(socket.socket(family, kind, protocol), address, left_s / (len(found) - tried), options)
        except OSError as error:
            last = error
    raise last


def _connected(made: socket.socket, address: Any, timeout_s: float, options: Iterable[Option]) -> socket.socket:
    try:
        for option in ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *options):
            made.setsockopt(*option)
        made.settimeout(timeout_s)
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


class InTime:
    """Mixin for urllib3 connections with total time-outs, not one per read.

    The time-out holds for connecting (proxy and TLS included), and again for the head of the response.
    """

    host: str
    port: int
    timeout: Any
    sock: socket.socket | None
    _is_cut = False

    def check(self, address: str) -> None:
        """Raise `OSError` for an address that must not be used."""

    def _new_conn(self) -> socket.socket:
        try:
            options = getattr(self, "socket_options", None) or ()
            return connect_any(self.host, self.port, self._seconds, options, self.check)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from None  # type: ignore[arg-type]
        except TimeoutError:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from None
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]

    def connect(self) -> None:
        with self._in_time("no connection in time"):
            super().connect()  # type: ignore[misc]

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]
        if self._is_cut:  # http.client takes the closed connection for the end of the proxy's response
            raise TimeoutError("no connection in time")

    def getresponse(self) -> Any:
        with self._in_time("no answer in time"):
            response = super().getresponse()  # type: ignore[misc]
        if self._is_cut:  # http.client takes the closed connection for the end of the head
            response.close()
            raise TimeoutError("no answer in time")
        return response

    @contextmanager
    def _in_time(self, otherwise: str) -> Iterator[None]:
        """Cut the connection if the block exceeds the time-out: a socket's time-out holds for each single read."""
        self._is_cut = False
        cut = threading.Timer(self._seconds, self._cut)
        cut.daemon = True
        cut.start()
        try:
            yield
        except (OSError, HTTPException):
            if self._is_cut:
                raise TimeoutError(otherwise) from None
            raise
        finally:
            cut.cancel()

    def __str__(self) -> str:
        """Name in errors."""
        return f"{self.host}:{self.port}"

    @property
    def _seconds(self) -> float:
        return self.timeout if isinstance(self.timeout, int | float) else DEFAULT_TIMEOUT_S

    def _cut(self) -> None:
        self._is_cut = True
        with suppress(OSError):
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)


DEFAULT_TIMEOUT_S = 60.0
"""For connections without a given time-out."""


class _Named:
    """Mixin for urllib3 pools: their name in errors."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def pools(mixin: type[InTime]) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Pools of connections with `mixin`, by scheme."""
    kinds = {
        "http": (urllib3.HTTPConnectionPool, HTTPConnection),
        "https": (urllib3.HTTPSConnectionPool, HTTPSConnection),
    }
    return {
        scheme: type(
            pool.__name__, (_Named, pool), {"ConnectionCls": type(connection.__name__, (mixin, connection), {})}
        )
        for scheme, (pool, connection) in kinds.items()
    }


POOLS = pools(InTime)


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS


def session() -> Session:
    """A requests session on such connections. It uses proxies from the environment, but no passwords from files."""
    made = Session()
    made.verify = trusted()
    made.auth = lambda request: request  # otherwise ~/.netrc is read
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter())
    return made
