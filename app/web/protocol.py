"""HTTP on a connection: parsed by httptools, with limits on the size of a request's head and the time for it."""

from __future__ import annotations

import asyncio
import resource
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app.web.rate_limit import counted_as
from app.web.waiting import Waiting

HEAD_BYTES = 65_536
"""The longest head of a request, with some room: a client that never ends its headers cannot fill the memory."""

HEAD_SECONDS = 10.0
"""The time for the head of a request, from the connection or the previous answer."""

MAX_WAITING = 1_000
MAX_OF_ONE_CLIENT = 50
"""Connections without a request: browsers keep six."""


class BoundedProtocol(HttpToolsProtocol):
    _head = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._head > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request head is too long.")

    def on_headers_complete(self) -> None:
        self._head = 0
        self._end_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def _wait(self) -> None:
        """Wait for a request, until a time-out. If too many connections wait, close the longest-waiting one."""
        self._end_waiting()
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._hang_up)
        client = counted_as(self.client[0]) if self.client else None
        if (oldest := _waiting_at(self.server_state).add(self, client)) is not None:
            oldest._hang_up()

    def _end_waiting(self) -> None:
        _waiting_at(self.server_state).remove(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._end_waiting()
        self.transport.abort()


_servers: WeakKeyDictionary[Any, Waiting[BoundedProtocol]] = WeakKeyDictionary()


def _waiting_at(server: Any) -> Waiting[BoundedProtocol]:
    """The waiting connections of one server."""
    if server not in _servers:
        _servers[server] = Waiting(min(MAX_WAITING, _open_files() // 2), MAX_OF_ONE_CLIENT)
    return _servers[server]


def _open_files() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * MAX_WAITING if soft == resource.RLIM_INFINITY else soft
