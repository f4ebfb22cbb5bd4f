"""One connection slot: a thread, at most one socket at a time, and the session that decides.

This file only opens, reads, sends, closes and waits; every decision is the session's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from websocket import WebSocketException

from app.exchange.adapter import FeedEvent
from app.exchange.pacing import AwakeClock
from app.exchange.session import SessionSnapshot, StreamSession
from app.exchange.stream_socket import ConnectionEnded, Dialler, StreamSocket
from app.exchange.wakeups import SharedWakeup
from app.util.backoff import Backoff

log = logging.getLogger(__name__)

_TICK_MS = 100
_WAKEUP = SharedWakeup(0.1)
"""Shared by all connections of a process: when they read frames that are not urgent."""
_CLOSE_S = 0.5
_HEALTHY_MS = 10_000
"""After a connection that was open for at least this long, the next attempt comes within a second."""


OnFrame: TypeAlias = Callable[[str, bytes], None]
"""Receives a connection's name and each of its messages, before they are read."""


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """The state of one connection: its session and its socket."""

    session: SessionSnapshot
    attempts_failed: int
    last_error: str | None
    callback_errors: int


class StreamConnection:
    """One connection slot: a thread that holds at most one socket at a time, and reconnects until it is stopped."""

    def __init__(
        self,
        session: StreamSession,
        dialler: Dialler,
        on_event: Callable[[FeedEvent], None],
        on_frame: OnFrame | None = None,
    ) -> None:
        self._on_frame = on_frame
        self._session = session
        self._dialler = dialler
        self._on_event = on_event
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._socket: StreamSocket | None = None
        self._clock = AwakeClock()
        self._local_ms = 0
        self._ticked_local_ms = 0
        self._attempts_failed = 0
        self._last_error: str | None = None
        self._callback_errors = 0
        self._thread = threading.Thread(target=self._run, name=session.connection, daemon=True)

    # From any thread.

    @property
    def is_open(self) -> bool:
        return self._session.is_open

    @property
    def products(self) -> list[str]:
        with self._lock:
            return self._session.products

    @property
    def streams(self) -> list[str]:
        with self._lock:
            return self._session.streams

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start to end: interrupts a wait, and a socket that is being opened."""
        self._stopped.set()
        opening = self._socket
        if opening is not None and not self._session.is_open:
            opening.abort()

    def join(self) -> None:
        if self._thread is not threading.current_thread():
            self._thread.join()

    def subscribe(self, products: list[str], aliases: Mapping[str, str]) -> None:
        with self._lock:
            self._session.subscribe(products, aliases)

    def unsubscribe(self, products: list[str]) -> None:
        with self._lock:
            self._session.unsubscribe(products)

    def health(self) -> ConnectionHealth:
        with self._lock:
            snapshot = self._session.snapshot(self._local_ms)
        return ConnectionHealth(snapshot, self._attempts_failed, self._last_error, self._callback_errors)

    # On the connection's own thread.

    def _run(self) -> None:
        backoff = Backoff(first_s=1.0, max_s=30.0, is_jittered=True)
        while not self._stopped.is_set():
            if self._connect_and_serve() >= _HEALTHY_MS:
                backoff.reset()
            self._stopped.wait(backoff.next_s())

    def _connect_and_serve(self) -> int:
        """Open and serve one connection; returns the milliseconds for which it was open."""
        if self._stopped.wait(self._dialler.connections.reserve()):
            return 0
        stream = self._socket = self._dialler.new_socket()
        opened_local_ms = None
        try:
            self._dialler.open(stream)
            opened_local_ms = self._read_clock()
            with self._lock:
                events = self._session.opened(opened_local_ms)
            self._send_requests(stream)
            self._emit(events)
            self._serve(stream)
            reason = "we disconnected"
        except ConnectionEnded as closed:
            reason = str(closed)
        except Exception as error:
            if not isinstance(error, WebSocketException | OSError):
                log.exception("connection %s failed", self._session.connection)
            reason = f"{type(error).__name__}: {error}"
        finally:
            stream.close(timeout=_CLOSE_S)
            stream.shutdown()  # type: ignore[no-untyped-call]
            self._socket = None
        return self._ended(reason, opened_local_ms)

    def _ended(self, reason: str, opened_local_ms: int | None) -> int:
        local_ms = self._read_clock()
        self._last_error = reason[:200]
        if opened_local_ms is None:
            self._attempts_failed += 1
            log.warning("connection %s could not open: %s", self._session.connection, reason)
            return 0
        with self._lock:
            events = self._session.closed(local_ms, reason)
        self._emit(events)
        return local_ms - opened_local_ms

    def _serve(self, stream: StreamSocket) -> None:
        """Read frames and let time pass, until stopped; raises `ConnectionEnded` if the session wants to reconnect."""
        self._ticked_local_ms = self._read_clock()
        while not self._stopped.is_set():
            self._read(stream)
            # The next frames may gather if they are not urgent, and none has arrived.
            while not (self._session.expects_closes or self._stopped.is_set()) and stream.is_drained():
                with _WAKEUP.wait():
                    if not self._read_all(stream):
                        break

    def _read_all(self, stream: StreamSocket) -> bool:
        """Read all frames that arrived; whether there were any."""
        found = False
        while not (self._stopped.is_set() or stream.is_drained()):
            self._read(stream)
            found = True
        return found

    def _read(self, stream: StreamSocket) -> None:
        """Read the next frame; at most `_RECEIVE_S` without one."""
        data = stream.receive()
        local_ms = self._read_clock()
        if data is not None:
            if self._on_frame is not None:
                self._on_frame(self._session.connection, data)
            with self._lock:
                events = self._session.frame(data, local_ms)
            self._emit(events)
        if data is None or local_ms - self._ticked_local_ms >= _TICK_MS:
            self._ticked_local_ms = local_ms
            self._tick(stream, local_ms)

    def _tick(self, stream: StreamSocket, local_ms: int) -> None:
        with self._lock:
            events = self._session.tick(local_ms)
            trouble = self._session.must_reconnect
        self._emit(events)
        if trouble is not None:
            raise ConnectionEnded(trouble)
        self._send_requests(stream)

    def _send_requests(self, stream: StreamSocket) -> None:
        with self._lock:
            requests = self._session.requests()
        for request in requests:
            if self._stopped.wait(self._dialler.messages.reserve()):
                return
            stream.send(request)

    def _emit(self, events: list[FeedEvent]) -> None:
        for event in events:
            try:
                self._on_event(event)
            except Exception:
                self._callback_errors += 1
                log.exception("the callback failed on %s", type(event).__name__)

    def _read_clock(self) -> int:
        self._local_ms = self._clock.now_ms()
        return self._local_ms
