"""One connection slot of an exchange's stream as a state machine: frames and ticks in, events and messages out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.exchange.adapter import FeedEvent


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """What a health page shows of one connection. Times in milliseconds; `silent_ms` is real time, by channel.

    `open_ms`: for how long it has been open, in real time; None while it is not.
    """

    connection: str
    is_open: bool
    open_ms: int | None
    attempt: int
    exchange_ms: int | None
    products: int
    accepted: int
    refused: tuple[str, ...]
    frames: int
    rejected: Mapping[str, int]
    sequence_gaps: int
    duplicates: int
    stale_updates: int
    late_updates: int
    silent_ms: Mapping[str, int]


class StreamSession(Protocol):
    """No socket, no thread, no clock.

    Its owner sends `requests` and reconnects if `must_reconnect` is set. `local_ms`: milliseconds of any clock that
    only goes forward; it measures silence, nothing else. All other times are the exchange's.
    """

    connection: str
    is_open: bool
    must_reconnect: str | None

    @property
    def products(self) -> list[str]:
        """The wanted products."""

    @property
    def streams(self) -> list[str]:
        """The ids under which the exchange streams them."""

    @property
    def expects_closes(self) -> bool:
        """Whether the next frame may close buckets, so that it should not wait."""

    def subscribe(self, products: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        """Want `products` as well; send `requests` afterwards."""

    def unsubscribe(self, products: Iterable[str]) -> None:
        """Want `products` no more; send `requests` afterwards."""

    def requests(self) -> list[str]:
        """The messages to send now, each returned once."""

    def opened(self, local_ms: int) -> list[FeedEvent]:
        """The connection is open."""

    def closed(self, local_ms: int, reason: str) -> list[FeedEvent]:
        """The connection ended, on whichever side."""

    def frame(self, data: str | bytes, local_ms: int) -> list[FeedEvent]:
        """One text frame arrived. Never raises, whatever it holds."""

    def tick(self, local_ms: int) -> list[FeedEvent]:
        """Time passed. Called about ten times per second."""

    def snapshot(self, local_ms: int) -> SessionSnapshot:
        """The counters, now."""
