"""The REST answers, as values: no network here. `Rest.answer` is the whole API."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from app.exchange.local import frames
from app.exchange.local.clock import ExchangeClock
from app.exchange.local.faults import Faults, RestLate
from app.exchange.local.market import Product
from app.exchange.local.options import Options
from app.exchange.local.stats import DayStats, book
from app.exchange.local.tape import Tape
from app.timeframes import Timeframe

PREFIX = "/api/v3/brokerage"
MAX_BUCKETS = 350
MAX_TRADES = 100
MAX_CACHED = 2_000

GRANULARITIES = {
    "ONE_MINUTE": Timeframe.M1,
    "FIVE_MINUTE": Timeframe.M5,
    "FIFTEEN_MINUTE": Timeframe.M15,
    "THIRTY_MINUTE": Timeframe.M30,
    "ONE_HOUR": Timeframe.H1,
    "TWO_HOUR": Timeframe.H2,
    "FOUR_HOUR": Timeframe.H4,
    "SIX_HOUR": Timeframe.H6,
    "ONE_DAY": Timeframe.D1,
}
_PUBLIC = {"cache-control": "public, max-age=14400", "x-content-type-options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Query = Mapping[str, Sequence[str]]
"""Every value of every parameter."""


class BadRequest(Exception):
    """The exchange answers 400 with this detail."""


class Rest:
    """The exchange's REST API over a tape and a clock. Safe to use from several threads."""

    def __init__(self, tape: Tape, clock: ExchangeClock, options: Options, faults: Faults) -> None:
        self._tape = tape
        self._clock = clock
        self._faults = faults
        self._stats = DayStats(tape)
        self._cache_ms = options.cache_exchange_ms
        self._cached: OrderedDict[tuple[str, str], tuple[int, Reply]] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, path: str, query: Query, *, fresh: bool = False) -> Reply:
        """The answer to GET `path`. `fresh`: the client sent `cache-control: no-cache`."""
        key, now_ms = (path, repr(sorted(query.items()))), self._clock.now_ms()
        with self._lock:
            at_ms, kept = self._cached.get(key, (0, None))
        if kept is not None and not fresh and 0 <= now_ms - at_ms < self._cache_ms:
            return Reply(kept.status, kept.body, kept.content_type, {**kept.headers, "cf-cache-status": "HIT"})
        reply = self._computed(path, query)
        if reply.status == 200:
            with self._lock:
                self._cached[key] = (now_ms, reply)
                self._cached.move_to_end(key)
                if len(self._cached) > MAX_CACHED:
                    self._cached.popitem(last=False)
        return reply

    def forget(self) -> None:
        """Drop cached answers: the tape was changed."""
        with self._lock:
            self._cached.clear()

    def _computed(self, path: str, query: Query) -> Reply:
        try:
            match path.removeprefix(PREFIX).strip("/").split("/"):
                case ["time"]:
                    return _json(self._time())
                case ["market", "products"]:
                    return _json(self._listing(query))
                case ["market", "product_book"]:
                    return self._of(_one(query, "product_id", ""), self._book, query)
                case ["market", "products", name]:
                    return self._of(name, lambda product, name, _: self._row(product, name), query)
                case ["market", "products", name, "candles"]:
                    return self._of(name, self._candles, query)
                case ["market", "products", name, "ticker"]:
                    return self._of(name, self._trades, query)
                case ["market", *_]:
                    return error(404, "NOT_FOUND", "not found")
        except BadRequest as problem:
            return error(400, "INVALID_ARGUMENT", str(problem))
        except _Internal as problem:
            return error(500, "INTERNAL", str(problem))
        return unauthorized()

    def _of(self, name: str, compute: Callable[[Product, str, Query], object], query: Query) -> Reply:
        """What `compute` says of the product called `name`, or 404."""
        canonical = self._tape.canonical(name)
        if canonical is None or self._tape.products[canonical].listed_ms > self._clock.now_ms():
            return _json({"error": "NOT_FOUND", "message": f"Product {name} not supported"}, 404)
        return _json(compute(self._tape.products[canonical], name, query))

    def _time(self) -> object:
        now_ms = self._clock.now_ms()
        iso = f"{frames.zulu(now_ms // 1000 * 1_000_000_000)[:-1]}Z"
        return {"iso": iso, "epochSeconds": str(now_ms // 1000), "epochMillis": str(now_ms)}

    # --- candles

    def _candles(self, product: Product, _name: str, query: Query) -> object:
        timeframe = GRANULARITIES.get(_one(query, "granularity", ""))
        if timeframe is None:
            raise BadRequest("granularity argument is invalid")
        now_ms = self._clock.now_ms()
        first_s, last_s = _span(query, timeframe, now_ms // 1000)
        limit = _whole(query, "limit", MAX_BUCKETS)
        rows = self._tape.candles(product.name, timeframe, first_s, last_s + 1, now_ms)
        late = self._faults.find(RestLate, lambda fault: fault.product in (None, product.name))
        if late is not None:
            ends_ms = (rows["start_s"] + timeframe.seconds) * 1000
            rows = rows[(ends_ms > now_ms) | (ends_ms + late.seconds * 1000 <= now_ms)]
        price, size = product.price, product.size
        newest_first = rows[::-1][: max(0, limit)].tolist()
        return {
            "candles": [
                {
                    "start": str(start_s),
                    "low": price(low),
                    "high": price(high),
                    "open": price(opening),
                    "close": price(close),
                    "volume": size(volume),
                }
                for start_s, opening, high, low, close, volume in newest_first
            ]
        }

    # --- products

    def _listing(self, query: Query) -> object:
        now_ms = self._clock.now_ms()
        wanted = set(query.get("product_ids", ()))
        if _one(query, "product_type", "SPOT") not in ("SPOT", "UNKNOWN_PRODUCT_TYPE", ""):
            named: list[tuple[Product, str]] = []
        else:
            listed = [p for p in self._tape.products.values() if p.listed_ms <= now_ms]
            named = [(p, name) for p in listed for name in (p.name, *p.aliases) if not wanted or name in wanted]
        offset, limit = _whole(query, "offset", 0), _whole(query, "limit", 0)
        if offset < 0 or limit < 0:
            raise BadRequest("offset and limit must not be negative")
        page = named[offset : offset + limit if limit else None]
        return {
            "products": [self._row(product, name) for product, name in page],
            "num_products": len(named),
            "pagination": {
                "prev_cursor": "",
                "next_cursor": "",
                "has_next": offset + len(page) < len(named),
                "has_prev": offset > 0,
            },
        }

    def _row(self, product: Product, name: str) -> dict[str, object]:
        now_ms, is_alias = self._clock.now_ms(), name != product.name
        day, online = self._stats.of(product.name, now_ms), self._tape.is_online(product.name, now_ms)
        quote = name.split("-")[1]
        return {
            "product_id": name,
            "price": product.price(day.last) if day.last else "",
            "price_percentage_change_24h": day.change_percent,
            "volume_24h": product.size(day.volume),
            "volume_percentage_change_24h": "0",
            "base_increment": product.size(1),
            "quote_increment": product.price(1),
            "quote_min_size": "1",
            "quote_max_size": "150000000",
            "base_min_size": product.size(1),
            "base_max_size": "3400000",
            "base_name": product.base,
            "quote_name": "US Dollar" if quote == "USD" else quote,
            "watched": False,
            "is_disabled": not online,
            "new": now_ms - product.listed_ms < 30 * 86_400_000,
            "status": "online" if online else "delisted",
            "cancel_only": False,
            "limit_only": False,
            "post_only": False,
            "trading_disabled": not online,
            "auction_mode": False,
            "product_type": "SPOT",
            "quote_currency_id": quote,
            "base_currency_id": product.base,
            "fcm_trading_session_details": None,
            "mid_market_price": "",
            "alias": product.name if is_alias else "",
            "alias_to": [] if is_alias else list(product.aliases),
            "base_display_symbol": product.base,
            "quote_display_symbol": quote,
            "view_only": False,
            "price_increment": product.price(1),
            "display_name": name,
            "product_venue": "CBE",
            "approximate_quote_24h_volume": day.quote_volume(product),
            "new_at": frames.zulu(max(0, product.listed_ms) * 1_000_000),
            "best_bid_price": "",
            "best_ask_price": "",
        }

    # --- trades and book

    def _trades(self, product: Product, name: str, query: Query) -> object:
        limit, now_ms = _whole(query, "limit", MAX_TRADES), self._clock.now_ms()
        if limit > 1_000:
            raise _Internal("limit too large")
        start_s, end_s = _whole(query, "start", 0), _whole(query, "end", now_ms // 1000)
        until_ms = min(end_s * 1000 + 999, now_ms) + 1
        trades = self._tape.last_trades(product.name, until_ms, max(1, min(limit, MAX_TRADES)))
        trades = trades.between(start_s * 1000, until_ms)
        last = self._tape.last_trades(product.name, now_ms + 1, 1)
        bids, asks = book(int(last.price[0]), 1, 10**product.size_decimals) if len(last) else ([], [])
        more = {"bid": "", "ask": "", "exchange": "coinbase"}
        return {
            "trades": [{**row, **more} for row in frames.trade_rows(product, trades, name)],
            "best_bid": product.price(bids[0][0]) if bids else "",
            "best_ask": product.price(asks[0][0]) if asks else "",
        }

    def _book(self, product: Product, name: str, query: Query) -> object:
        now_ms, depth = self._clock.now_ms(), max(1, min(_whole(query, "limit", 50), 500))
        last = self._tape.last_trades(product.name, now_ms + 1, 1)
        bids, asks = book(int(last.price[0]), depth, 10**product.size_decimals) if len(last) else ([], [])
        return {
            "pricebook": {
                "product_id": name,
                "bids": [{"price": product.price(p), "size": product.size(s)} for p, s in bids],
                "asks": [{"price": product.price(p), "size": product.size(s)} for p, s in asks],
                "time": frames.trade_time(now_ms),
            },
            "last": product.price(int(last.price[0])) if len(last) else "",
        }


class _Internal(Exception):
    """The exchange answers 500 with this text."""


def error(status: int, code: str, detail: str) -> Reply:
    """An error as the exchange words it."""
    return _json({"error": code, "error_details": detail, "message": detail}, status)


def unauthorized() -> Reply:
    return Reply(401, b"Unauthorized", "text/plain", {})


def too_many(body: str = "json", retry_after: float | str | None = None) -> Reply:
    """429 with a body of JSON or HTML, or none."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after}"}
    if body == "html":
        return Reply(429, _page("429 Too Many Requests"), "text/html", headers)
    if body == "empty":
        return Reply(429, b"", "text/plain", headers)
    content = orjson.dumps({"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]})
    return Reply(429, content, "application/json", headers)


def bad_gateway() -> Reply:
    return Reply(502, _page("502 Bad Gateway"), "text/html", {})


def _page(title: str) -> bytes:
    """A page of several kilobytes, as proxies send them."""
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1>{'<p>cloud</p>' * 300}".encode()
    )


def _json(content: object, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(content), "application/json", {**_PUBLIC, "cf-cache-status": "MISS"})


def _one(query: Query, name: str, default: str) -> str:
    return query[name][0] if query.get(name) else default


def _whole(query: Query, name: str, default: int) -> int:
    text = _one(query, name, "")
    if not text:
        return default
    if not text.lstrip("-").isdecimal() or len(text) > 15:
        raise BadRequest(f"{name} argument is invalid")
    return int(text)


def _span(query: Query, timeframe: Timeframe, now_s: int) -> tuple[int, int]:
    """First and last second that a bucket may start at; without a range, the newest 350 buckets."""
    reach = (MAX_BUCKETS - 1) * timeframe.seconds
    if query.get("end") or not query.get("start"):
        last_s = _whole(query, "end", timeframe.bucket(now_s))
        first_s = _whole(query, "start", last_s - reach)
    else:
        first_s = _whole(query, "start", 0)
        last_s = first_s + reach
    if last_s < first_s or first_s < 0:
        raise BadRequest("start and end argument is invalid - start must be before end")
    if (last_s - first_s) // timeframe.seconds + 1 > MAX_BUCKETS:
        raise BadRequest(
            f"start and end argument is invalid - number of candles requested should be less than {MAX_BUCKETS}"
        )
    return first_s, last_s
