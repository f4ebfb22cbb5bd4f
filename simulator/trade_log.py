"""The exchange's view of its market: trades, their candles, listings, late trades."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from app.errors import InvalidInput
from app.market.timeframes import Timeframe
from simulator.market import CANDLE, NEVER_MS, Candles, Market, Product, Trades, candles_of

PAGE_MS = 4 * 3_600_000
"""Recent trades are kept in pages of this length."""
CHUNK_S = 8 * 86_400
"""Long ranges are computed in parts of this length. The arrays fit the processor's cache, and malloc need not request
system memory for each (with 32 days, that took half of the time)."""
KEPT_BUCKETS = 1_100
"""Maximum candles of a cached series: a client that reads a thousand in pages has each computed once."""
MAX_LATE_PRINTS = 1_000
_LATE_ID = 2**40  # late trades have separate ids, so the other ids stay dense


@dataclass(frozen=True, slots=True)
class TradeSeries:
    """Cached candles of the buckets from `first_s` to before `last_s`."""

    first_s: int
    last_s: int
    candles: Candles


class TradeLog:
    """A market with its changes since it opened. Times are exchange time; safe to use from any thread."""

    def __init__(self, market: Market, *, pages: int = 4_096, series: int = 4_096) -> None:
        self._market = market
        self._products = dict(market.products)
        self._canonical = {alias: name for name, p in self._products.items() for alias in p.aliases}
        self._pages: OrderedDict[tuple[str, int], Trades] = OrderedDict()
        self._series: OrderedDict[tuple[str, Timeframe], TradeSeries] = OrderedDict()
        self._late: dict[str, Trades] = {}
        self._version = 0  # grows with every change, so that results computed before one are not cached after it
        self._limits = (pages, series)
        self._lock = threading.Lock()

    @property
    def products(self) -> Mapping[str, Product]:
        """Every product that was, is or can be listed, without aliases."""
        return self._products

    def canonical(self, name: str) -> str | None:
        """The product with the name or alias `name`; None if it is unknown."""
        name = self._canonical.get(name, name)
        return name if name in self._products else None

    def known(self, product: str) -> str:
        """Return `product`. Raises `InvalidInput` if the market does not have it."""
        if product not in self._products:
            raise InvalidInput(f"no product {product!r}: use one of {', '.join(list(self._products)[:40])}")
        return product

    def is_online(self, product: str, now_ms: int) -> bool:
        p = self._products[product]
        return p.listed_ms <= now_ms < p.delisted_ms

    def list_product(self, product: str, now_ms: int) -> None:
        """Let `product` trade from now on. Raises `InvalidInput` if it is unknown or already listed."""
        found = self._products[self.known(product)]
        if found.listed_ms <= now_ms < found.delisted_ms:
            raise InvalidInput(f"{product} is already listed")
        self._change(replace(found, listed_ms=min(found.listed_ms, now_ms), delisted_ms=NEVER_MS, has_candles=True))

    def delist_product(self, product: str, now_ms: int, *, gone: bool = False) -> None:
        """Stop trading `product` now. `gone`: REST no longer has its candles. Raises `InvalidInput` if not listed."""
        found = self._products[self.known(product)]
        if not found.listed_ms <= now_ms < found.delisted_ms:
            raise InvalidInput(f"{product} is not listed")
        self._change(replace(found, delisted_ms=now_ms, has_candles=not gone))

    def print_late(self, product: str, start_s: int, now_ms: int, price: int | None = None) -> int:
        """Add one late trade at the end of the 5m bucket `start_s`, which is over; it counts in all later reads.

        Its price (units) is by default 2 % above the bucket's high, or above the last price before an empty bucket.
        Returns the trade's time (UNIX milliseconds). Raises `InvalidInput`.
        """
        self.known(product)
        end_ms = (start_s + 300) * 1000
        if start_s % 300 or end_ms > now_ms:
            raise InvalidInput(f"start {start_s} is not the start of a 5m bucket that is over at {now_ms} ms")
        before = self.trades(product, start_s * 1000, end_ms)
        if price is None:
            basis = int(before.price.max()) if len(before) else self._last_price(product, start_s * 1000)
            price = basis + max(1, basis // 50)
        size = 2 * int(before.size.max()) if len(before) else 10 ** self._products[product].size_decimals
        with self._lock:
            late = self._late.get(product, Trades.none())
            if len(late) >= MAX_LATE_PRINTS:
                raise InvalidInput(f"{product} has {MAX_LATE_PRINTS} late trades already")
            one = Trades.one(end_ms - 1, price, size, _LATE_ID + len(late))
            self._late[product] = late.merged(one)
            self._forget(product)
        return end_ms - 1

    def trades(self, product: str, start_ms: int, end_ms: int) -> Trades:
        """Trades with ``start_ms <= time < end_ms`` while the product was listed, oldest first."""
        listing = self._products[product]
        start_ms, end_ms = max(start_ms, listing.listed_ms), min(end_ms, listing.delisted_ms)
        if end_ms <= start_ms:
            return Trades.none()
        if end_ms - start_ms > PAGE_MS:
            return self._printed(product, self._market.trades(product, start_ms, end_ms), start_ms, end_ms)
        first, last = start_ms // PAGE_MS, (end_ms - 1) // PAGE_MS
        part = self._page(product, first).between(start_ms, end_ms)
        return part if first == last else part.merged(self._page(product, last).between(start_ms, end_ms))

    def last_trades(self, product: str, until_ms: int, count: int) -> Trades:
        """The newest `count` trades before `until_ms`, oldest first; at most 32 days back."""
        span_ms = PAGE_MS
        while True:
            found = self.trades(product, until_ms - span_ms, until_ms)
            if len(found) >= count or span_ms > 32 * 86_400_000:
                return found[-count:]
            span_ms *= 4

    def candles(self, product: str, timeframe: Timeframe, start_s: int, end_s: int, now_ms: int) -> Candles:
        """Candles with ``start_s <= start < end_s`` of the trades until `now_ms`, the open bucket included."""
        first_s = -(-start_s // timeframe.seconds) * timeframe.seconds
        open_s = timeframe.bucket(now_ms / 1000)
        over = self._over(product, timeframe, first_s, min(end_s, open_s))
        if not first_s <= open_s < end_s:
            return over
        forming = candles_of(self.trades(product, open_s * 1000, now_ms + 1), timeframe.seconds)
        return np.concatenate((over, forming))

    def truth(self, product: str, timeframe: Timeframe, start_s: int, end_s: int, now_ms: int) -> list[dict[str, str]]:
        """Candles with ``start_s <= start < end_s`` that are over at `now_ms`, oldest first, as exact decimals."""
        p, open_s = self._products[product], timeframe.bucket(now_ms / 1000)
        rows = self.candles(product, timeframe, start_s, min(end_s, open_s), now_ms).tolist()
        return [
            {
                "start": str(start),
                "open": p.price(opening),
                "high": p.price(high),
                "low": p.price(low),
                "close": p.price(close),
                "volume": p.size(volume),
            }
            for start, opening, high, low, close, volume in rows
        ]

    def _over(self, product: str, timeframe: Timeframe, first_s: int, end_s: int) -> Candles:
        """Candles of buckets that are over. Cached, except for 1m."""
        end_s = -(-end_s // timeframe.seconds) * timeframe.seconds
        if end_s <= first_s:
            return np.zeros(0, CANDLE)
        if timeframe is Timeframe.M1:
            return self._computed(product, timeframe, first_s, end_s)
        key = (product, timeframe)
        with self._lock:
            kept, version = self._series.get(key), self._version
        if kept is None or first_s > kept.last_s or end_s < kept.first_s:
            kept = TradeSeries(first_s, first_s, np.zeros(0, CANDLE))
        parts = (
            self._computed(product, timeframe, first_s, kept.first_s),
            kept.candles,
            self._computed(product, timeframe, kept.last_s, end_s),
        )
        kept = TradeSeries(min(first_s, kept.first_s), max(end_s, kept.last_s), np.concatenate(parts))
        self._remember(key, kept, timeframe.seconds, version)
        starts = kept.candles["start_s"]
        return kept.candles[(starts >= first_s) & (starts < end_s)]

    def _remember(self, key: tuple[str, Timeframe], series: TradeSeries, seconds: int, version: int) -> None:
        first_s = max(series.first_s, series.last_s - KEPT_BUCKETS * seconds)
        candles = series.candles[series.candles["start_s"] >= first_s]
        with self._lock:
            if self._version != version:
                return
            self._series[key] = TradeSeries(first_s, series.last_s, candles)
            self._series.move_to_end(key)
            if len(self._series) > self._limits[1]:
                self._series.popitem(last=False)

    def _computed(self, product: str, timeframe: Timeframe, first_s: int, end_s: int) -> Candles:
        parts = [
            candles_of(self.trades(product, start_s * 1000, min(start_s + CHUNK_S, end_s) * 1000), timeframe.seconds)
            for start_s in range(first_s, end_s, CHUNK_S)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, CANDLE)

    def _page(self, product: str, number: int) -> Trades:
        """All trades of one page."""
        key = (product, number)
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
                return self._pages[key]
            version = self._version
        start_ms, end_ms = number * PAGE_MS, (number + 1) * PAGE_MS
        page = self._printed(product, self._market.trades(product, start_ms, end_ms), start_ms, end_ms)
        with self._lock:
            if self._version == version:
                self._pages[key] = page
            if len(self._pages) > self._limits[0]:
                self._pages.popitem(last=False)
        return page

    def _printed(self, product: str, trades: Trades, start_ms: int, end_ms: int) -> Trades:
        late = self._late.get(product)
        return trades.merged(late.between(start_ms, end_ms)) if late is not None else trades

    def _last_price(self, product: str, until_ms: int) -> int:
        last = self.last_trades(product, until_ms, 1)
        if not len(last):
            raise InvalidInput(f"{product} has no trade in the 32 days before {until_ms} ms")
        return int(last.price[0])

    def _change(self, product: Product) -> None:
        with self._lock:
            self._products[product.name] = product
            self._forget(product.name)

    def _forget(self, product: str) -> None:
        """Drop the cached results of `product`. The caller holds the lock."""
        self._version += 1
        for pages in [key for key in self._pages if key[0] == product]:
            del self._pages[pages]
        for series in [key for key in self._series if key[0] == product]:
            del self._series[series]
