"""Small caches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import TTLCache, cached

T = TypeVar("T")


def kept_for(seconds: float, read: Callable[[], T]) -> Callable[[], T]:
    """`read`, whose value is kept for `seconds` of real time. An error is raised and not kept.

    The lock is not held while `read` runs: while Redis does not answer, no thread waits for the others.
    """
    return cached(TTLCache[object, T](1, seconds), lock=Lock())(read)


class IncrementalMap(Generic[T]):
    """Maps many bytes at once, and keeps the results of the last call: only bytes that are new are mapped again.

    Safe to call from any number of threads.
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
