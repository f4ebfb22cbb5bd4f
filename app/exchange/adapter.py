"""The interface of an exchange, and the events of its feed.

An adapter turns one exchange's feed into the events below, on a separate thread, and passes each to its callback.
Disconnects, gaps and corrections are events like any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias

from app.exchange.listing import Listing
from app.market.candles import UnifiedCandle
from app.market.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection is open and its subscriptions are sent. `attempt` counts connections since the start, from 1."""

    connection: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection was lost, for any `reason`; the adapter reconnects."""

    connection: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClockTick:
    """The exchange's clock reads `exchange_ms` (UNIX milliseconds)."""

    exchange_ms: int


@dataclass(frozen=True, slots=True)
class CandleUpdated:
    """The candle of a bucket that is still open changed (`candle.state` is forming)."""

    candle: UnifiedCandle


@dataclass(frozen=True, slots=True)
class CandleClosed:
    """A bucket is over and its candle was seen whole (`candle.state` is closed).

    The same bucket may arrive again with other values: a late revision by the exchange. `provisional`: the connection
    broke while the bucket was open, and the server may have counted from zero since, so REST must confirm it.
    """

    candle: UnifiedCandle
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class GapSuspected:
    """The candles of the buckets `first_s` to `last_s` (starts, UNIX seconds, inclusive) are unknown or uncertain.

    `settled_only`: the stream was whole but silent, so only a settled response can decide; else trades may have been
    missed, and the request is urgent.
    """

    product: str
    timeframe: Timeframe
    first_s: int
    last_s: int
    reason: str
    settled_only: bool = False


@dataclass(frozen=True, slots=True)
class ProductRefused:
    """The exchange does not deliver this product, although it was requested."""

    product: str
    reason: str


@dataclass(frozen=True, slots=True)
class ProductAccepted:
    """The exchange delivers this product, which it refused before."""

    product: str


@dataclass(frozen=True, slots=True)
class FrameRejected:
    """A frame, or a part of one, was invalid and not used."""

    connection: str
    reason: str


FeedEvent: TypeAlias = (
    Connected
    | Disconnected
    | ClockTick
    | CandleUpdated
    | CandleClosed
    | GapSuspected
    | ProductRefused
    | ProductAccepted
    | FrameRejected
)


class Page(NamedTuple):
    """One response of REST for candles: its `candles`, oldest first, and the range it covers.

    A bucket from `covers_from_s` to `covers_to_s` (starts, inclusive) that is not among them had no trades, according
    to this response. It proves nothing about other buckets, since a server may be late or its response short. The range
    is empty if `covers_to_s` is the smaller one. `unreadable`: buckets with an invalid row, neither present nor
    absent.
    """

    candles: list[UnifiedCandle]
    covers_from_s: int
    covers_to_s: int
    unreadable: frozenset[int] = frozenset()

    @classmethod
    def between_rows(cls, candles: list[UnifiedCandle], step: int, unreadable: Iterable[int] = ()) -> Self:
        """The page of an exchange that leaves out buckets without trades.

        It covers the oldest row up to before the newest, which may still change.
        """
        if not candles:
            return cls([], 0, -step, frozenset(unreadable))
        return cls(candles, candles[0].start_s, candles[-1].start_s - step, frozenset(unreadable))


class ExchangeRest(ABC):
    """One exchange's REST: one call, one request, no retry. One HTTP session; make one per thread.

    The caller respects the request budget and interprets the responses. Every method raises `Throttled` if the limit
    was exceeded; `Refused` if the exchange refuses this request permanently; `Unavailable` for a time-out, a broken
    connection, a failure of the exchange, a redirect, or an invalid body.
    """

    @abstractmethod
    def close(self) -> None:
        """Close the session."""

    @abstractmethod
    def candles(self, product: str, timeframe: Timeframe, first_s: int, last_s: int) -> Page:
        """The candles of the buckets that start from `first_s` to `last_s` (UNIX seconds, inclusive).

        All are marked closed, even one that is still open, and none has a time of observation: only the caller knows
        the exchange's time. An invalid row affects only itself.
        """

    @abstractmethod
    def products(self, before: Listing | None = None) -> Listing:
        """The first part of the listing, or `before` with the next part; all of it if `is_last`.

        Tradable or not, in its order. An invalid row affects only itself.
        """

    @abstractmethod
    def time_ms(self) -> int:
        """The exchange's time (UNIX milliseconds)."""


class ExchangeAdapter(ABC):
    """One exchange's live feed. Every method is safe to call from any thread."""

    name: str
    """Short lower-case name; part of every key in the cache."""

    def __init__(self, on_event: Callable[[FeedEvent], None]) -> None:
        self._on_event = on_event

    @abstractmethod
    def connect(self) -> None:
        """Start the feed in the background. Returns at once; reconnects until `disconnect`."""

    @abstractmethod
    def disconnect(self) -> None:
        """End the feed. After the return no event is delivered and no socket is open."""

    @abstractmethod
    def subscribe(self, products: Iterable[str], sources: Mapping[str, str] | None = None) -> None:
        """Add products to the feed, now and after every reconnect. `sources`: the product that feeds each alias."""

    @abstractmethod
    def unsubscribe(self, products: Iterable[str]) -> None:
        """Remove products from the feed."""

    @property
    @abstractmethod
    def is_connected(self) -> bool:
        """Whether every wanted connection is open."""
