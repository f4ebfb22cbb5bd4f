"""The listener for forming candles: one thread opens, reads and closes the connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from app.events import Event
from app.storage.forming import FormingFeed
from app.web.stream.forming import Forming
from tests.support import eventually


class Feed:
    """Like the real one, without events. `threads`: which thread opened, read and closed it."""

    def __init__(self) -> None:
        self.threads: list[tuple[str, int]] = []
        self.has_no_watcher = threading.Event()

    @contextmanager
    def listen(self) -> Iterator[Feed]:
        self.threads.append(("opened", threading.get_ident()))
        yield self
        self.threads.append(("closed", threading.get_ident()))

    def next(self, timeout_s: float) -> list[Event]:
        self.threads.append(("reads", threading.get_ident()))
        self.has_no_watcher.wait(timeout_s)  # a read is always running when the last client leaves
        self.threads.append(("has read", threading.get_ident()))
        return []


def test_a_connection_is_closed_by_the_thread_that_reads_from_it() -> None:
    """Closed by another thread, it would be read after its end, and its descriptor might belong to something else."""
    feed = Feed()

    async def watch() -> None:
        forming = Forming(cast(FormingFeed, feed), lambda: None)
        with forming.watching(True):
            await asyncio.to_thread(eventually, lambda: len(feed.threads) > 1)
        feed.has_no_watcher.set()

    asyncio.run(watch())
    did, threads = zip(*feed.threads, strict=True)
    assert len(set(threads)) == 1
    assert did[-2:] == ("has read", "closed")
