"""The exchange's stream over real sockets: one thread, one socket and one `CoinbaseSession` a connection.

Everything that is decided is decided in the session; here is only what a socket needs: open, read, send, close, wait.
"""

from __future__ import annotations

import logging
import math
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from websocket import ABNF, WebSocket, WebSocketException, WebSocketTimeoutException
from websocket._abnf import frame_buffer

from app.exchange.adapter import ExchangeAdapter, FeedEvent
from app.exchange.coinbase.models import EXCHANGE, MAX_FRAME_BYTES
from app.exchange.coinbase.pacing import CONNECTIONS, MESSAGES, AwakeClock, Backoff, Limiter
from app.exchange.coinbase.session import CoinbaseSession, SessionSnapshot
from app.exchange.coinbase.wakeups import SharedWakeup
from app.util import network

log = logging.getLogger(__name__)

_RECEIVE_S = 0.1
_TICK_MS = 100
_WAKEUP = SharedWakeup(0.1)
"""Of all connections of a process: when they read what nobody waits for."""
_CLOSE_S = 0.5
_READ_BYTES = 16_384
_HEALTHY_MS = 10_000
"""From a connection that was open for so long on, the next attempt after it comes within a second again."""
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """One connection: what its session knows, and how its socket fares."""

    session: SessionSnapshot
    attempts_failed: int
    last_error: str | None
    callback_errors: int


class CoinbaseAdapter(ExchangeAdapter):
    """The live feed. Products are spread evenly over connections; each connection calls `on_event` on its own thread.

    So `on_event` must be safe to call from several threads, and should be quick. What it raises is logged.
    """

    name = EXCHANGE

    def __init__(
        self,
        url: str,
        on_event: Callable[[FeedEvent], None],
        *,
        products_per_connection: int = 100,
        close_grace_seconds: float = 2.0,
        aliases: Mapping[str, str] | None = None,
        connect_timeout_seconds: float = 10.0,
        connections_limiter: Limiter = CONNECTIONS,
        messages_limiter: Limiter = MESSAGES,
    ) -> None:
        """`aliases`: product to the id under which the exchange streams it; see `universe.aliases`."""
        super().__init__(on_event)
        self._per_connection = products_per_connection
        self._aliases = dict(aliases or {})
        self._dialler = _Dialler(url, connect_timeout_seconds, connections_limiter, messages_limiter)
        self._grace_ms = round(close_grace_seconds * 1000)
        self._lock = threading.RLock()
        self._started = False
        self._products: dict[str, None] = {}
        self._connections: list[_Connection] = []
        self._made = 0

    def connect(self) -> None:
        with self._lock:
            if not self._started:
                self._started = True
                self._place(list(self._products))

    def disconnect(self) -> None:
        with self._lock:
            self._started = False
            connections, self._connections = self._connections, []
        _stop(connections)

    def subscribe(self, products: Iterable[str], sources: Mapping[str, str] | None = None) -> None:
        with self._lock:
            self._aliases.update({p: s for p, s in (sources or {}).items() if p not in self._products})
            new = [p for p in dict.fromkeys(products) if p not in self._products]
            self._products.update(dict.fromkeys(new))
            if self._started:
                self._place(new)

    def unsubscribe(self, products: Iterable[str]) -> None:
        with self._lock:
            gone = [p for p in dict.fromkeys(products) if p in self._products]
            for product in gone:
                del self._products[product]
            for connection in self._connections:
                connection.unsubscribe(gone)
            empty = [c for c in self._connections if not c.products]
            self._connections = [c for c in self._connections if c.products]
        _stop(empty)

    @property
    def is_connected(self) -> bool:
        with self._lock:
            return self._started and all(c.is_open for c in self._connections)

    def health(self) -> list[ConnectionHealth]:
        """How each connection fares."""
        with self._lock:
            connections = list(self._connections)
        return [c.health() for c in connections]

    def _place(self, products: list[str]) -> None:
        """Give each of `products` to the connection with the fewest, and start as many as all of them need.

        Names of one stream stay together: what feeds `BTC-USD` feeds `BTC-USDC`.
        """
        by_stream: dict[str, list[str]] = {}
        for product in products:
            by_stream.setdefault(self._aliases.get(product, product), []).append(product)
        given: dict[_Connection, list[str]] = {}
        homes = {s: c for c in self._connections for s in c.streams}
        room = {c: self._per_connection - len(c.streams) for c in self._connections}
        missing = math.ceil((len(homes) + len(by_stream.keys() - homes.keys())) / self._per_connection) - len(room)
        fresh = [self._new_connection() for _ in range(max(0, missing))]
        room.update(dict.fromkeys(fresh, self._per_connection))
        for stream, names in by_stream.items():
            home = homes.get(stream) or max(room, key=lambda c: room[c])
            if stream not in homes:
                room[home] -= 1
            given.setdefault(home, []).extend(names)
        for connection, names in given.items():
            connection.subscribe(names, self._aliases)
        self._connections += fresh
        for connection in fresh:
            connection.start()

    def _new_connection(self) -> _Connection:
        self._made += 1
        session = CoinbaseSession(f"{EXCHANGE}-{self._made}", aliases=self._aliases, close_grace_ms=self._grace_ms)
        return _Connection(session, self._dialler, self._on_event)


def _stop(connections: list[_Connection]) -> None:
    for connection in connections:
        connection.stop()
    for connection in connections:
        connection.join()


class _Connection:
    """One connection slot: a thread that holds at most one socket at a time, and reconnects until it is stopped."""

    def __init__(self, session: CoinbaseSession, dialler: _Dialler, on_event: Callable[[FeedEvent], None]) -> None:
        self._session = session
        self._dialler = dialler
        self._on_event = on_event
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._socket: _Socket | None = None
        self._clock = AwakeClock()
        self._now_ms = 0
        self._ticked_ms = 0
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
        """Begin to end: wakes a wait at once, and a socket that is still being opened."""
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
            snapshot = self._session.snapshot(self._now_ms)
        return ConnectionHealth(snapshot, self._attempts_failed, self._last_error, self._callback_errors)

    # On the connection's own thread.

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stopped.is_set():
            if self._connect_and_serve() >= _HEALTHY_MS:
                backoff.reset()
            self._stopped.wait(backoff.next_s())

    def _connect_and_serve(self) -> int:
        """One connection from opening to end; returns the milliseconds for which it was open."""
        if self._stopped.wait(self._dialler.connections.reserve()):
            return 0
        wire = self._socket = self._dialler.new_socket()
        opened_ms = None
        try:
            self._dialler.open(wire)
            opened_ms = self._now()
            with self._lock:
                events = self._session.opened(opened_ms)
            self._send_requests(wire)
            self._emit(events)
            self._serve(wire)
            reason = "we disconnected"
        except _Closed as closed:
            reason = str(closed)
        except (WebSocketException, OSError) as error:
            reason = f"{type(error).__name__}: {error}"
        except Exception as error:
            log.exception("connection %s failed", self._session.connection)
            reason = f"{type(error).__name__}: {error}"
        finally:
            wire.close(timeout=_CLOSE_S)
            wire.shutdown()  # type: ignore[no-untyped-call]
            self._socket = None
        return self._ended(reason, opened_ms)

    def _ended(self, reason: str, opened_ms: int | None) -> int:
        now_ms = self._now()
        self._last_error = reason[:200]
        if opened_ms is None:
            self._attempts_failed += 1
            log.warning("connection %s could not open: %s", self._session.connection, reason)
            return 0
        log.info("connection %s closed: %s", self._session.connection, reason)
        with self._lock:
            events = self._session.closed(now_ms, reason)
        self._emit(events)
        return now_ms - opened_ms

    def _serve(self, wire: _Socket) -> None:
        """Read frames and let time pass, until we are stopped or the connection is no good."""
        self._ticked_ms = self._now()
        while not self._stopped.is_set():
            self._read(wire)
            while self._may_gather(wire):
                with _WAKEUP.next():
                    if not self._read_all(wire):
                        break

    def _may_gather(self, wire: _Socket) -> bool:
        """Whether what comes next may wait a little, and nothing is there yet."""
        return not (self._session.expects_closes or self._stopped.is_set()) and wire.is_drained()

    def _read_all(self, wire: _Socket) -> bool:
        """Whether anything was there."""
        found = False
        while not (self._stopped.is_set() or wire.is_drained()):
            self._read(wire)
            found = True
        return found

    def _read(self, wire: _Socket) -> None:
        """The next frame, or a moment without one."""
        data = wire.receive()
        now_ms = self._now()
        if data is not None:
            with self._lock:
                events = self._session.frame(data, now_ms)
            self._emit(events)
        if data is None or now_ms - self._ticked_ms >= _TICK_MS:
            self._ticked_ms = now_ms
            self._tick(wire, now_ms)

    def _tick(self, wire: _Socket, now_ms: int) -> None:
        with self._lock:
            events = self._session.tick(now_ms)
            trouble = self._session.must_reconnect
        self._emit(events)
        if trouble is not None:
            raise _Closed(trouble)
        self._send_requests(wire)

    def _send_requests(self, wire: _Socket) -> None:
        with self._lock:
            requests = self._session.requests()
        for request in requests:
            if self._stopped.wait(self._dialler.messages.reserve()):
                return
            wire.send(request)

    def _emit(self, events: list[FeedEvent]) -> None:
        for event in events:
            try:
                self._on_event(event)
            except Exception:
                self._callback_errors += 1
                log.exception("the callback failed on %s", type(event).__name__)

    def _now(self) -> int:
        self._now_ms = self._clock.now_ms()
        return self._now_ms


class _Closed(Exception):
    """The connection is over, for the reason given."""


class _Dialler:
    """How to open a socket to the exchange, at a pace that all connections share."""

    def __init__(self, url: str, timeout_s: float, connections: Limiter, messages: Limiter) -> None:
        self.connections = connections
        self.messages = messages
        self._url = url
        self._timeout_s = timeout_s

    def new_socket(self) -> _Socket:
        return _Socket(sockopt=_KEEPALIVE, skip_utf8_validation=True)

    def open(self, wire: _Socket) -> None:
        # Compression is never offered, and a market feed has no reason to redirect.
        through = self._proxy() or {"socket": self._connected()}
        wire.connect(self._url, timeout=self._timeout_s, redirect_limit=0, **through)  # type: ignore[no-untyped-call]
        wire.settimeout(_RECEIVE_S)

    def _proxy(self) -> dict[str, object]:
        """What websocket-client has to know of the proxy that the environment names; empty where there is none."""
        parts, proxies = urlsplit(self._url), getproxies()
        scheme = "https" if parts.scheme == "wss" else "http"
        named = urlsplit(proxies.get(scheme) or proxies.get("all") or "")
        if not named.hostname or proxy_bypass(parts.hostname or ""):
            return {}
        if named.scheme != "http":
            raise _Closed(
                f"a proxy for the stream must be http://…, and the environment names one of {named.scheme}://"
            )
        login = (unquote(named.username), unquote(named.password or "")) if named.username else None
        where = {"http_proxy_host": named.hostname, "http_proxy_port": named.port or 80, "http_proxy_auth": login}
        return {**where, "sslopt": {"ca_certs": network.trusted()}}

    def _connected(self) -> socket.socket:
        parts = urlsplit(self._url)
        is_tls, host = parts.scheme == "wss", parts.hostname or ""
        made = network.connect_any(host, parts.port or (443 if is_tls else 80), self._timeout_s, _KEEPALIVE)
        made.settimeout(self._timeout_s)
        if not is_tls:
            return made
        try:
            return ssl.create_default_context(cafile=network.trusted()).wrap_socket(made, server_hostname=host)
        except OSError:
            made.close()
            raise


class _BoundedFrames(frame_buffer):
    """Refuses a frame by its announced length, before more than `_READ_BYTES` of it are read."""

    def recv_length(self) -> None:
        super().recv_length()
        if self.length is not None and self.length > MAX_FRAME_BYTES:
            raise _Closed(f"a frame of {self.length} bytes was announced; {MAX_FRAME_BYTES} are allowed")


class _Socket(WebSocket):
    """A WebSocket with bounded messages, that can be aborted from another thread while it opens."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # Whatever has come, at once, rather than the header, the length and the payload one by one.
        self.frame_buffer = _BoundedFrames(lambda _: self._recv(_READ_BYTES), True)  # type: ignore[no-untyped-call]
        self._message_bytes = 0
        self._poll: select.poll | None = None

    def recv_frame(self) -> ABNF:
        frame: ABNF = super().recv_frame()  # type: ignore[no-untyped-call]
        if frame.opcode in (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY, ABNF.OPCODE_CONT):
            self._message_bytes += len(frame.data)
            if self._message_bytes > MAX_FRAME_BYTES:
                raise _Closed(f"a message of more than {MAX_FRAME_BYTES} bytes")
            if frame.fin:
                self._message_bytes = 0
        return frame

    def receive(self) -> bytes | None:
        """The next message; None where none came within the receive time-out. Raises `_Closed` at a close frame."""
        try:
            opcode, frame = self.recv_data_frame()
        except WebSocketTimeoutException:
            return None
        if opcode == ABNF.OPCODE_CLOSE:
            code = int.from_bytes(frame.data[:2], "big") if len(frame.data) >= 2 else 1005
            text = frame.data[2:].decode("utf-8", "replace")
            raise _Closed(f"closed by the exchange: {code} {text}".rstrip())
        data: bytes = frame.data
        return data

    def is_drained(self) -> bool:
        """Whether nothing has come that is not read yet."""
        if any(self.frame_buffer.recv_buffer) or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return False
        if self._poll is None:
            assert self.sock is not None
            self._poll = select.poll()
            self._poll.register(self.sock, select.POLLIN)
        return not self._poll.poll(0)

    def abort(self) -> None:
        opening = self.sock
        if opening is not None:
            try:
                opening.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                log.debug("the socket was closed already: %s", error)
