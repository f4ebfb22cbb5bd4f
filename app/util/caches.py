"""What is remembered: a value until it has grown old, and bytes that were made of other bytes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Generic, TypeVar

T = TypeVar("T")


class TtlValue(Generic[T]):
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


class IncrementalMap(Generic[T]):
    """What `make` made of each of the bytes of the last look: most are the same at the next one, and the others are
    forgotten. Safe to call from any number of threads.
    """

    def __init__(self, make: Callable[[bytes], T]) -> None:
        self._make = make
        self._kept: dict[bytes, T] = {}

    def __call__(self, many: Iterable[bytes]) -> list[T]:
        before, now, made = self._kept, {}, []
        for data in many:
            value = before[data] if data in before else self._make(data)
            now[data] = value
            made.append(value)
        self._kept = now
        return made


class SizedLru:
    """What `make` makes of bytes, remembered by their digest; what was asked for longest ago is forgotten first.

    Holds at most `most_bytes` of what was made. Safe to call from any number of threads.
    """

    def __init__(self, make: Callable[[bytes], bytes], most_bytes: int) -> None:
        self._make = make
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, source: bytes) -> bytes:
        digest = blake2b(source, digest_size=16).digest()
        with self._lock:
            made = self._kept.get(digest)
            if made is not None:
                self._kept.move_to_end(digest)
                return made
        made = self._make(source)
        with self._lock:
            if digest not in self._kept:
                self._kept[digest] = made
                self._bytes += len(made)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return made
