"""Clients that connect and send no request, or an endless one: other clients still receive responses."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests import plain
from tests.support import PATIENCE_S, ROOT, Process, eventually, free_port

pytestmark = pytest.mark.integration

OPEN_FILES = 256


@pytest.fixture
def port(processes: Callable[..., Process], redis_url: str) -> Iterator[int]:
    """The port of a web process that may open few files."""
    port = free_port()
    command = f"ulimit -n {OPEN_FILES}; exec {sys.executable} -m app web"
    processes(["bash", "-c", command], env={"REDIS_URL": redis_url, "CANDLEWICK_WEB_PORT": str(port)}, cwd=ROOT)
    eventually(lambda: health(port) == 200)
    return port


def health(port: int) -> int:
    return plain.get(f"http://127.0.0.1:{port}/healthz").status_code


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nX: "], ids=["silent", "without an end"])
def test_more_connections_than_files_block_no_client(port: int, sent: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(OPEN_FILES + 50):
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            idle.sendall(sent)
        assert health(port) == 200


def test_an_idle_connection_is_closed(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as silent, socket.create_connection(("127.0.0.1", port)) as slow:
        silent.settimeout(0.01)

        def is_closed(client: socket.socket, data: bytes) -> bool:
            try:
                client.sendall(data)
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        slow.settimeout(0.01)
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        eventually(lambda: is_closed(slow, b"y") and is_closed(silent, b""), interval=0.5)
