"""The WebSocket of the exchange's stream: opened through a proxy or not, with bounded messages, abortable."""

from __future__ import annotations

import logging
import select
import socket
import ssl
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from websocket import ABNF, WebSocket, WebSocketTimeoutException
from websocket._abnf import frame_buffer

from app.exchange.frames import MAX_FRAME_BYTES
from app.exchange.pacing import Limiter
from app.util import network

log = logging.getLogger(__name__)

_RECEIVE_S = 0.1
_READ_BYTES = 16_384
_KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
        if hasattr(socket, name)
    ),
]


class ConnectionEnded(Exception):
    """The connection ended, for the given reason."""


def proxy_options(url: str) -> dict[str, object]:
    """Options of websocket-client for the proxy in the environment; empty if there is none for `url`.

    Raises `ConnectionEnded` if the stream cannot use it.
    """
    parts, proxies = urlsplit(url), getproxies()
    scheme = "https" if parts.scheme == "wss" else "http"
    named = urlsplit(proxies.get(scheme) or proxies.get("all") or "")
    if not named.hostname or proxy_bypass(parts.hostname or ""):
        return {}
    if named.scheme != "http":
        raise ConnectionEnded(
            f"the proxy for the stream must be http://…, but the environment names one of {named.scheme}://"
        )
    login = (unquote(named.username), unquote(named.password or "")) if named.username else None
    where = {"http_proxy_host": named.hostname, "http_proxy_port": named.port or 80, "http_proxy_auth": login}
    return {**where, "sslopt": {"ca_certs": network.trusted()}}


class Dialler:
    """Opens sockets to the exchange. Holds the limits that all connections share."""

    def __init__(self, url: str, timeout_s: float, connections: Limiter, messages: Limiter) -> None:
        self.connections = connections
        self.messages = messages
        self._url = url
        self._timeout_s = timeout_s

    def new_socket(self) -> StreamSocket:
        return StreamSocket(sockopt=_KEEPALIVE, skip_utf8_validation=True)

    def open(self, stream: StreamSocket) -> None:
        # Compression is never offered, and a market feed has no reason to redirect.
        through = proxy_options(self._url) or {"socket": self._connected()}
        stream.connect(self._url, timeout=self._timeout_s, redirect_limit=0, **through)  # type: ignore[no-untyped-call]
        stream.settimeout(_RECEIVE_S)

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
            raise ConnectionEnded(f"a frame of {self.length} bytes was announced; {MAX_FRAME_BYTES} are allowed")


class StreamSocket(WebSocket):
    """A WebSocket with bounded messages, that can be aborted from another thread while it opens."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # One read for all that arrived, instead of one each for header, length and payload.
        self.frame_buffer = _BoundedFrames(lambda _: self._recv(_READ_BYTES), True)  # type: ignore[no-untyped-call]
        self._message_bytes = 0
        self._poll: select.poll | None = None

    def recv_frame(self) -> ABNF:
        frame: ABNF = super().recv_frame()  # type: ignore[no-untyped-call]
        if frame.opcode in (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY, ABNF.OPCODE_CONT):
            self._message_bytes += len(frame.data)
            if self._message_bytes > MAX_FRAME_BYTES:
                raise ConnectionEnded(f"a message of more than {MAX_FRAME_BYTES} bytes")
            if frame.fin:
                self._message_bytes = 0
        return frame

    def receive(self) -> bytes | None:
        """The next message, or None if none came in time. Raises `ConnectionEnded` at a close frame."""
        try:
            opcode, frame = self.recv_data_frame()
        except WebSocketTimeoutException:
            return None
        if opcode == ABNF.OPCODE_CLOSE:
            code = int.from_bytes(frame.data[:2], "big") if len(frame.data) >= 2 else 1005
            text = frame.data[2:].decode("utf-8", "replace")
            raise ConnectionEnded(f"closed by the exchange: {code} {text}".rstrip())
        data: bytes = frame.data
        return data

    def is_drained(self) -> bool:
        """Whether everything that arrived has been read."""
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
