"""A web server in a thread, over real sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.context import Context
from app.web.server import WebServer, listen
from tests.support import eventually


@contextmanager
def serving(context: Context) -> Iterator[tuple[str, WebServer]]:
    """Its URL, and the server. An exception in it fails the test: the loop belongs to its thread."""
    with listen("127.0.0.1", 0) as listener:
        server = WebServer(context)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
        thread.start()
        try:
            eventually(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join()
