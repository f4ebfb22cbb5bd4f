"""What differs between exchanges, and nothing else: one object per exchange."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.exchange.adapter import ExchangeRest, FeedEvent

if TYPE_CHECKING:
    from app.exchange.feed import Feed


class Venue(ABC):
    """One exchange. Subclasses set the constants below and implement two methods; these import what they need, since
    most processes need neither the stream nor REST.
    """

    name: str
    """Short lower-case name: part of every key, event and log line."""

    ws_url: str
    """Default URL of the stream."""
    rest_url: str
    """Default origin of REST, without a path."""
    products: tuple[str, ...]
    """Default selection of products."""
    rest_requests_per_second: float
    """Default limit of REST requests, over all processes and hosts."""

    @abstractmethod
    def feed(
        self, url: str, on_event: Callable[[FeedEvent], None], *, products_per_connection: int, close_grace_s: float
    ) -> Feed:
        """The live feed from `url`. Buckets close `close_grace_s` exchange seconds after their end, if by the clock."""

    @abstractmethod
    def rest(self, url: str, timeout_s: float) -> ExchangeRest:
        """A REST session to `url`; one per thread. `timeout_s`: for a whole request."""
