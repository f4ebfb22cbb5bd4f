"""An HTTP proxy that connects every requested name to one service."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.servers import listening


class Proxy:
    """`requests`: the first lines of the requests, with their logins. `login`: without it, the proxy answers 407.

    `answer`: sent instead of connecting, one byte each `pause_s` seconds.
    """

    def __init__(self, target: int, login: str = "", answer: bytes = b"", pause_s: float = 0.1) -> None:
        self.target, self.login, self.answer, self.pause_s = target, login, answer, pause_s
        self.requests: list[tuple[str, str]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{self.login + '@' if self.login else ''}127.0.0.1:{self.port}"

    def handle(self, client: socket.socket, ended: threading.Event) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (part := client.recv(4096)):
                return
            head += part
        first, *headers = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")
        headers_by_name = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
        given = headers_by_name.get("proxy-authorization", "").removeprefix("Basic ")
        login = base64.b64decode(given).decode()
        self.requests.append((first, login))
        for byte in self.answer:
            client.sendall(bytes([byte]))
            if ended.wait(self.pause_s):
                return
        if self.answer:
            return
        if login != self.login:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.target)) as there:
            if first.startswith("CONNECT "):
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                there.sendall(head)
            back = threading.Thread(target=_copy, args=(there, client))
            back.start()
            _copy(client, there)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(target: int, login: str = "", answer: bytes = b"", pause_s: float = 0.1) -> Iterator[Proxy]:
    """A `Proxy` in front of the service on port `target`, until the end of the block."""
    state, ended = Proxy(target, login, answer, pause_s), threading.Event()

    with listening(lambda client: state.handle(client, ended)) as state.port:
        try:
            yield state
        finally:
            ended.set()
