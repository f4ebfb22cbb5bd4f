"""Connections without a request under way: limited in total, and per client. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Waiting(Generic[T]):
    """`most`: in total; `most_of_one`: per client. A client on this machine (None) is limited by `most` only."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._of: dict[T, str | None] = {}
        self._by_client: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._of)

    def add(self, one: T, client: str | None) -> T | None:
        """Add `one`. If there are too many, return the one that has waited longest, which must be closed."""
        self.remove(one)
        self._of[one] = client
        if client is not None:
            theirs = self._by_client.setdefault(client, {})
            theirs[one] = None
            if len(theirs) > self._most_of_one:
                return next(iter(theirs))
        return next(iter(self._of)) if len(self._of) > self._most else None

    def remove(self, one: T) -> None:
        """Remove `one`, if present."""
        client = self._of.pop(one, None)
        if client is not None:
            theirs = self._by_client[client]
            del theirs[one]
            if not theirs:
                del self._by_client[client]
