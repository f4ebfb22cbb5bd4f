"""A local server with a certificate of its own authority, `ca`."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trustme

from tests.support import PATIENCE_S


class TlsServer:
    """Receives data over TLS and answers with `reply` of them; `received` is all of it."""

    def __init__(
        self,
        folder: Path,
        reply: Callable[[bytes], bytes],
        *,
        name: str = "localhost",
        greeting: bytes = b"",
        starttls: bool = False,
    ) -> None:
        """`name`: the host of its certificate. `greeting`: sent first, if the client waits for one. `starttls`: plain
        SMTP until the client requests TLS.
        """
        authority = trustme.CA()
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(self._context)
        self._reply, self._greeting, self._starttls = reply, greeting, starttls
        self.received = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        if self._client is not None:
            with suppress(OSError):  # it has hung up
                self._client.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain, suppress(OSError):  # clients that do not trust us hang up
                self._client = plain
                plain.settimeout(PATIENCE_S)
                self._serve(plain)

    def _serve(self, plain: socket.socket) -> None:
        if self._starttls:
            plain.sendall(self._greeting)
            for line in (b"250-mail\r\n250 STARTTLS\r\n", b"220 go\r\n"):
                plain.recv(1_000)
                plain.sendall(line)
        with self._context.wrap_socket(plain, server_side=True) as wire:
            self._client = wire
            if not self._starttls:
                wire.sendall(self._greeting)
            while part := wire.recv(10_000):
                self.received += part
                wire.sendall(self._reply(part))
