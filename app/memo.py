"""A value that is read again only when it has grown old."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """What `read` returned, for `for_s` real seconds. Threads that find it old at the same time may each read."""

    def __init__(self, read: Callable[[], T], for_s: float) -> None:
        self._read = read
        self._for_s = for_s
        self._kept: tuple[float, T] | None = None

    def get(self) -> T:
        kept = self._kept
        if kept is None or time.monotonic() - kept[0] > self._for_s:
            # No lock: one that is held while Redis does not answer would make everybody wait for all others.
            kept = self._kept = (time.monotonic(), self._read())
        return kept[1]
