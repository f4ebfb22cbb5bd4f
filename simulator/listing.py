"""The listing of products and currencies."""

from __future__ import annotations

from simulator import frames
from simulator.clock import ExchangeClock
from simulator.market import Product
from simulator.options import Options
from simulator.queries import BadRequest, Query, one, whole
from simulator.stats import DayStats
from simulator.trade_log import TradeLog

_FIAT = {"USD": "US Dollar", "EUR": "Euro", "GBP": "British Pound"}

_SAME = {
    "volume_percentage_change_24h": "0",
    "quote_min_size": "1",
    "quote_max_size": "150000000",
    "base_max_size": "3400000",
    "watched": False,
    "cancel_only": False,
    "limit_only": False,
    "post_only": False,
    "auction_mode": False,
    "product_type": "SPOT",
    "fcm_trading_session_details": None,
    "mid_market_price": "",
    "view_only": False,
    "product_venue": "CBE",
    "best_bid_price": "",
    "best_ask_price": "",
}
"""Fields that every product has alike."""


class ProductPages:
    """The listed products with their last 24 hours, and the currencies."""

    def __init__(self, trade_log: TradeLog, clock: ExchangeClock, options: Options | None = None) -> None:
        self._trade_log = trade_log
        self._options = options or Options()
        self._clock = clock
        self._stats = DayStats(trade_log)

    def page(self, query: Query) -> object:
        """The products that `query` selects, including aliases."""
        now_ms = self._clock.now_ms()
        wanted = set(query.get("product_ids", ()))
        if one(query, "product_type", "SPOT") not in ("SPOT", "UNKNOWN_PRODUCT_TYPE", ""):
            named: list[tuple[Product, str]] = []
        else:
            listed = [p for p in self._trade_log.products.values() if p.listed_ms <= now_ms]
            named = [(p, name) for p in listed for name in (p.name, *p.aliases) if not wanted or name in wanted]
        offset, limit = whole(query, "offset", 0), whole(query, "limit", self._options.listing_rows)
        offset *= self._options.listing_offset
        if offset < 0 or limit < 0:
            raise BadRequest("offset and limit must not be negative")
        page = named[offset : offset + limit if limit else None]
        return {
            "products": [self.row(product, name) for product, name in page],
            "num_products": len(named),
            "pagination": {
                "prev_cursor": "",
                "next_cursor": "",
                "has_next": offset + len(page) < len(named),
                "has_prev": offset > 0,
            },
        }

    def row(self, product: Product, name: str) -> dict[str, object]:
        """One product under the requested name."""
        now_ms, is_alias = self._clock.now_ms(), name != product.name
        day, online = self._stats.day(product.name, now_ms), self._trade_log.is_online(product.name, now_ms)
        quote = name.split("-")[1]
        return {
            **_SAME,
            "product_id": name,
            "price": product.price(day.last) if day.last else "",
            "price_percentage_change_24h": day.change_percent,
            "volume_24h": product.size(day.volume),
            "base_increment": product.size(1),
            "quote_increment": product.price(1),
            "base_min_size": product.size(1),
            "base_name": product.base,
            "quote_name": "US Dollar" if quote == "USD" else quote,
            "is_disabled": not online,
            "new": now_ms - product.listed_ms < 30 * 86_400_000,
            "status": "online" if online else "delisted",
            "trading_disabled": not online,
            "quote_currency_id": quote,
            "base_currency_id": product.base,
            "alias": product.name if is_alias else "",
            "alias_to": [] if is_alias else list(product.aliases),
            "base_display_symbol": product.base,
            "quote_display_symbol": quote,
            "price_increment": product.price(1),
            "display_name": name,
            "approximate_quote_24h_volume": day.quote_volume(product),
            "new_at": frames.rfc3339_nano(max(0, product.listed_ms) * 1_000_000),
        }

    def fiat(self) -> object:
        """`GET /v2/currencies`."""
        return {"data": [{"id": code, "name": name, "min_size": "0.01"} for code, name in _FIAT.items()]}

    def crypto(self) -> object:
        """`GET /v2/currencies/crypto`."""
        return {
            "data": [
                {"asset_id": code, "code": code, "name": code, "sort_index": n, "exponent": 8, "type": "crypto"}
                for n, code in enumerate(self._currencies())
            ]
        }

    def rates(self) -> object:
        """`GET /v2/exchange-rates`: units of each currency for one dollar, if it has a price in dollars."""
        now_ms, rates = self._clock.now_ms(), {"USD": "1"}
        for product in self._trade_log.products.values():
            last = self._stats.day(product.name, now_ms).last
            if product.quote == "USD" and last:
                rates[product.base] = f"{10**product.price_decimals / last:.12g}"
        return {"data": {"currency": "USD", "rates": rates}}

    def _currencies(self) -> list[str]:
        codes = (
            code for p in self._trade_log.products.values() for name in (p.name, *p.aliases) for code in name.split("-")
        )
        return [code for code in dict.fromkeys(codes) if code not in _FIAT]
