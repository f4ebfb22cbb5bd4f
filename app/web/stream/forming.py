"""Forming candles for clients that request them. Only the newest of each series is kept, because each replaces the one
before: a slow client gets fewer."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from app.events import Event, Wanted
from app.storage.forming import FormingFeed
from app.web.stream.frames import event_frame

log = logging.getLogger(__name__)

WAIT_S = 0.5
RETRY_S = 1.0


class Forming:
    """Listens while there are watchers; calls `on_changes` after each message."""

    def __init__(self, feed: FormingFeed, on_changes: Callable[[], None]) -> None:
        self._feed = feed
        self._on_changes = on_changes
        self._newest: dict[tuple[str, str], tuple[int, Event, bytes]] = {}  # in the order of their changes
        self._count = 0
        self._watchers = 0
        self._listening: asyncio.Future[None] | None = None
        self._over = threading.Event()

    @contextmanager
    def watching(self, wants: bool) -> Iterator[Callable[[Wanted], bytes]]:
        """A function that returns the candles new to one client: none if it does not request any."""
        if not wants:
            yield lambda _: b""
            return
        self._watchers += 1
        if self._listening is None or self._listening.done():
            self._listening = self._listen()
        seen = self._count

        def pop(wanted: Wanted) -> bytes:
            nonlocal seen
            since, seen = seen, self._count
            return self._since(since, wanted)

        try:
            yield pop
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._over.set()
                self._listening = None
                self._newest.clear()

    def _since(self, count: int, wanted: Wanted) -> bytes:
        """The wanted candles that changed after the `count`th message."""
        changed = []
        for number, event, frame in reversed(self._newest.values()):
            if number <= count:
                break
            if wanted.takes(event):
                changed.append(frame)
        return b"".join(changed)

    def _listen(self) -> asyncio.Future[None]:
        """Listen on a thread that owns the connection: no other may close it during a read."""
        loop, over = asyncio.get_running_loop(), threading.Event()
        self._over = over

        def keep(events: list[Event]) -> None:
            if not over.is_set():
                self._keep(events)

        def listen() -> None:
            while not over.is_set():
                try:
                    with self._feed.listen() as listener:
                        while not over.is_set():
                            if events := listener.next(WAIT_S):
                                loop.call_soon_threadsafe(keep, events)
                except RedisError as error:
                    log.debug("cannot receive forming candles: %s", error)
                    over.wait(RETRY_S)

        return loop.run_in_executor(None, listen)

    def _keep(self, events: list[Event]) -> None:
        self._count += 1
        for event in events:
            name = (event.product, event.timeframe)
            self._newest.pop(name, None)
            self._newest[name] = (self._count, event, event_frame(event))
        self._on_changes()
