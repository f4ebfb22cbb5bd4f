"""The rows of ticker and status frames, and the order book."""

from __future__ import annotations

from typing import TypeAlias

from simulator.market import Product
from simulator.stats import DayStats, book
from simulator.trade_log import TradeLog

DEPTH = 50
"""Price levels on each side of the book."""

Levels: TypeAlias = dict[tuple[str, int], int]
"""Size by side (bid, offer) and price, all in units."""


class Quotes:
    """Rows for the wire, computed from the trade log."""

    def __init__(self, trade_log: TradeLog) -> None:
        self._trade_log = trade_log
        self._stats = DayStats(trade_log)

    def ticker(self, product: Product, now_ms: int, *, batch: bool = False) -> dict[str, str]:
        """A row of `ticker` or, without best bid and ask, of `ticker_batch`. The 52-week range is the day's."""
        day, last = self._stats.day(product.name, now_ms), self._last(product, now_ms)
        low, high = product.price(min(day.low, last)), product.price(max(day.high, last))
        row = {
            "type": "ticker",
            "product_id": product.name,
            "price": product.price(last),
            "volume_24_h": product.size(day.volume),
            "low_24_h": low,
            "high_24_h": high,
            "low_52_w": low,
            "high_52_w": high,
            "price_percent_chg_24_h": day.change_percent,
        }
        return row if batch else row | _best(product, last)

    def status(self, product: Product, now_ms: int) -> dict[str, str]:
        """A row of `status`."""
        return {
            "product_type": "SPOT",
            "id": product.name,
            "base_currency": product.base,
            "quote_currency": product.quote,
            "base_increment": product.size(1),
            "quote_increment": product.price(1),
            "display_name": f"{product.base}/{product.quote}",
            "status": "online" if self._trade_log.is_online(product.name, now_ms) else "delisted",
            "status_message": "",
            "min_market_funds": "1",
        }

    def levels(self, product: Product, now_ms: int) -> Levels:
        """The book, made up around the last price."""
        bids, asks = book(self._last(product, now_ms), DEPTH, 10**product.size_decimals)
        return {("bid", price): size for price, size in bids} | {("offer", price): size for price, size in asks}

    def _last(self, product: Product, now_ms: int) -> int:
        last = self._trade_log.last_trades(product.name, now_ms + 1, 1)
        return int(last.price[-1]) if len(last) else 0


def _best(product: Product, last: int) -> dict[str, str]:
    bids, asks = book(last, 1, 10**product.size_decimals)
    row = {}
    for side, levels in (("bid", bids), ("ask", asks)):
        price, size = levels[0] if levels else (None, None)
        row[f"best_{side}"] = product.price(price) if price is not None else ""
        row[f"best_{side}_quantity"] = product.size(size) if size is not None else ""
    return row


def changes(before: Levels, after: Levels) -> Levels:
    """The changes from one book to the other; a removed level has size 0."""
    gone = dict.fromkeys((key for key in before if key not in after), 0)
    return gone | {key: size for key, size in after.items() if before.get(key) != size}
