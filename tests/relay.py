"""One name for changing servers: a relay whose target can be changed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial

from tests.support import PATIENCE_S

CHUNK_BYTES = 65_536


class Relay:
    """New connections to `port` go to `target`, a port of this host; existing ones stay where they are."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.end: Callable[[], object]

    async def serve(self, ready: threading.Event) -> None:
        """Serve until `end` is called, from any thread."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        self.end = partial(loop.call_soon_threadsafe, ended.set)
        async with await asyncio.start_server(self._relay, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await ended.wait()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError), closing(writer):
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
            with closing(back):
                await asyncio.wait(
                    [asyncio.ensure_future(_copy(reader, back)), asyncio.ensure_future(_copy(there, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    """A `Relay` in a thread of its own, until the end of the block."""
    made, ready = Relay(target), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(made.serve(ready)), name="relay", daemon=True)
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        yield made
    finally:
        made.end()
        thread.join(10)
