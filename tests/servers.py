"""Small real servers on loopback."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """The port of `server`, which runs in a thread until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    with server:
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def listening(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that runs `handle` on each connection, in a thread of its own, until that raises OSError."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                handle(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with serving(Server(("127.0.0.1", 0), Handler)) as port:
        yield port
