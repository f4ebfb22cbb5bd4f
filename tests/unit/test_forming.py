"""Who listens for forming candles: one thread, to which the connection belongs from its opening to its end."""

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
    """Like the real one, but nothing is ever told. `threads`: who opened, read and closed it."""

    def __init__(self) -> None:
        self.threads: list[tuple[str, int]] = []
        self.nobody_watches = threading.Event()

    @contextmanager
    def listen(self) -> Iterator[Feed]:
        self.threads.append(("opened", threading.get_ident()))
        yield self
        self.threads.append(("closed", threading.get_ident()))

    def next(self, timeout_s: float) -> list[Event]:
        self.threads.append(("reads", threading.get_ident()))
        self.nobody_watches.wait(timeout_s)  # a read is always under way when the last one leaves
        self.threads.append(("has read", threading.get_ident()))
        return []


def test_a_connection_is_closed_by_the_thread_that_reads_from_it() -> None:
    """Closed by another, it would be read from when it is no more, and its number may be that of something else."""
    feed = Feed()

    async def watch() -> None:
        forming = Forming(cast(FormingFeed, feed), lambda: None)
        with forming.watching(True):
            await asyncio.to_thread(eventually, lambda: len(feed.threads) > 1)
        feed.nobody_watches.set()

    asyncio.run(watch())
    did, threads = zip(*feed.threads, strict=True)
    assert len(set(threads)) == 1
    assert did[-2:] == ("has read", "closed")
