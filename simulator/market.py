"""A market: products and their trades. Everything else on the local exchange derives from trades.

Prices and sizes are integers, in units of the product's price and size increments. So sums are exact, and so are the
decimal strings on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from simulator.noise import Ints

CANDLE = np.dtype([(name, "<i8") for name in ("start_s", "open", "high", "low", "close", "volume")])
"""A candle in integer units of its product."""

Candles: TypeAlias = npt.NDArray[Any]
"""A one-dimensional array of `CANDLE`, oldest first, buckets without trades left out."""

ALWAYS_MS = -(2**62)
NEVER_MS = 2**62


@dataclass(frozen=True, slots=True)
class Product:
    """A product of a market. It trades from `listed_ms` until before `delisted_ms` (UNIX milliseconds).

    `has_candles`: whether REST has its candles.
    """

    name: str
    price_decimals: int
    size_decimals: int = 8
    listed_ms: int = ALWAYS_MS
    delisted_ms: int = NEVER_MS
    aliases: tuple[str, ...] = ()
    has_candles: bool = True

    @property
    def base(self) -> str:
        return self.name.split("-")[0]

    @property
    def quote(self) -> str:
        return self.name.split("-")[1]

    def price(self, units: int) -> str:
        return decimal_text(units, self.price_decimals)

    def size(self, units: int) -> str:
        return decimal_text(units, self.size_decimals)


@dataclass(frozen=True, slots=True)
class Trades:
    """Trades of one product, oldest first. `sell`: the maker sold."""

    time_ms: Ints
    price: Ints
    size: Ints
    trade_id: Ints
    sell: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.time_ms)

    def __getitem__(self, part: slice | npt.NDArray[Any]) -> Trades:
        return Trades(self.time_ms[part], self.price[part], self.size[part], self.trade_id[part], self.sell[part])

    def between(self, start_ms: int, end_ms: int) -> Trades:
        """The trades with ``start_ms <= time < end_ms``."""
        first, last = np.searchsorted(self.time_ms, (start_ms, end_ms))
        return self[first:last]

    def merged(self, other: Trades) -> Trades:
        """Both, in the order of their times; at equal times `other` comes last."""
        both = Trades(
            np.concatenate((self.time_ms, other.time_ms)),
            np.concatenate((self.price, other.price)),
            np.concatenate((self.size, other.size)),
            np.concatenate((self.trade_id, other.trade_id)),
            np.concatenate((self.sell, other.sell)),
        )
        return both[np.argsort(both.time_ms, kind="stable")]

    @classmethod
    def one(cls, time_ms: int, price: int, size: int, trade_id: int) -> Trades:
        times, prices, sizes, ids = (np.array([value], np.int64) for value in (time_ms, price, size, trade_id))
        return cls(times, prices, sizes, ids, np.array([True]))

    @classmethod
    def none(cls) -> Trades:
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, empty, np.zeros(0, np.bool_))


class Market(Protocol):
    """A source of trades without state or clock: the same trades for a product and range at any time."""

    @property
    def products(self) -> Mapping[str, Product]:
        """Every product by name, aliases not included."""

    def trades(self, product: str, start_ms: int, end_ms: int) -> Trades:
        """Trades with ``start_ms <= time < end_ms``, oldest first; ids are dense. Listing periods are not applied."""


def decimal_text(units: int, decimals: int) -> str:
    """``units / 10**decimals`` in the exchange's format: plain notation, no trailing zeros."""
    whole, rest = divmod(units, 10**decimals)
    return f"{whole}.{rest:0{decimals}d}".rstrip("0") if rest else str(whole)


def candles_of(trades: Trades, seconds: int) -> Candles:
    """The candles of `trades`, for buckets of `seconds`."""
    bucket = trades.time_ms // (seconds * 1000)
    first = np.flatnonzero(np.diff(bucket, prepend=bucket[:1] - 1))
    candles = np.empty(len(first), CANDLE)
    if len(first):
        last = np.append(first[1:], len(bucket)) - 1
        candles["start_s"] = bucket[first] * seconds
        candles["open"] = trades.price[first]
        candles["high"] = np.maximum.reduceat(trades.price, first)
        candles["low"] = np.minimum.reduceat(trades.price, first)
        candles["close"] = trades.price[last]
        candles["volume"] = np.add.reduceat(trades.size, first)
    return candles
