"""The REST API as values, without a network. `Rest.answer` is the whole API."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from app.market.timeframes import Timeframe
from simulator import frames
from simulator.clock import ExchangeClock
from simulator.faults import Faults
from simulator.listing import ProductPages
from simulator.market import Product
from simulator.options import Options
from simulator.queries import BadRequest, Internal, Query, one, whole
from simulator.replies import Reply, as_json, error, not_found, unauthorized
from simulator.rest_faults import RestTime
from simulator.rows import Rows, with_empty_rows
from simulator.stats import book
from simulator.trade_log import TradeLog

PREFIX = "/api/v3/brokerage"
MAX_TRADES = 100
MAX_CACHED = 200

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


class Rest:
    """The exchange's REST API over a trade log and a clock. Safe to use from several threads."""

    def __init__(self, trade_log: TradeLog, clock: ExchangeClock, options: Options, faults: Faults) -> None:
        self._trade_log = trade_log
        self._clock = clock
        self._rows = Rows(trade_log, faults)
        self._listing = ProductPages(trade_log, clock, options)
        self._version_2 = {
            "/v2/time": self._time_2,
            "/v2/currencies": self._listing.fiat,
            "/v2/currencies/crypto": self._listing.crypto,
            "/v2/exchange-rates": self._listing.rates,
        }
        self._options = options
        self._faults = faults
        self._cached: OrderedDict[tuple[str, str], tuple[int, Reply]] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, path: str, query: Query, *, fresh: bool = False) -> Reply:
        """The response to GET `path`. `fresh`: the client sent `cache-control: no-cache`."""
        key, now_ms = (path, repr(sorted(query.items()))), self._clock.now_ms()
        with self._lock:
            at_ms, kept = self._cached.get(key, (0, None))
        if kept is not None and not fresh and 0 <= now_ms - at_ms < self._options.cache_exchange_ms:
            return Reply(kept.status, kept.body, kept.content_type, {**kept.headers, "cf-cache-status": "HIT"})
        reply = self._computed(path, query)
        if reply.status == 200 and not reply.note:
            with self._lock:
                self._cached[key] = (now_ms, reply)
                self._cached.move_to_end(key)
                if len(self._cached) > MAX_CACHED:
                    self._cached.popitem(last=False)
        return reply

    def forget(self) -> None:
        """Drop cached responses: the trade log has changed."""
        with self._lock:
            self._cached.clear()

    def _computed(self, path: str, query: Query) -> Reply:
        if path in self._version_2:
            return as_json(self._version_2[path]())
        if not path.startswith(f"{PREFIX}/"):
            return error(404, "NOT_FOUND", "not found")
        try:
            match path.removeprefix(PREFIX).strip("/").split("/"):
                case ["time"]:
                    return as_json(self._time())
                case ["market", "products"]:
                    return as_json(self._listing.page(query))
                case ["market", "product_book"]:
                    return self._of(one(query, "product_id", ""), self._book, query)
                case ["market", "products", name]:
                    return self._of(name, self._row, query)
                case ["market", "products", name, "candles"]:
                    return self._of(name, self._candles, query)
                case ["market", "products", name, "ticker"]:
                    return self._of(name, self._trades, query)
                case ["market", *_]:
                    return error(404, "NOT_FOUND", "not found")
        except BadRequest as problem:
            return error(400, "INVALID_ARGUMENT", str(problem))
        except Internal as problem:
            return error(500, "INTERNAL", str(problem))
        return unauthorized()

    def _of(self, name: str, compute: Callable[[Product, str, Query], Reply], query: Query) -> Reply:
        """The result of `compute` for the product called `name`, or 404."""
        canonical = self._trade_log.canonical(name)
        if canonical is None or self._trade_log.products[canonical].listed_ms > self._clock.now_ms():
            return not_found(name)
        return compute(self._trade_log.products[canonical], name, query)

    def _row(self, product: Product, name: str, _: Query) -> Reply:
        return as_json(self._listing.row(product, name))

    def _time(self) -> object:
        now_ms = self._clock.now_ms()
        if wrong := self._faults.find(RestTime):
            now_ms += int(wrong.seconds * 1000)
        iso = frames.rfc3339_nano(now_ms // 1000 * 1_000_000_000)
        return {"iso": iso, "epochSeconds": str(now_ms // 1000), "epochMillis": str(now_ms)}

    def _time_2(self) -> object:
        now_s = self._clock.now_ms() // 1000
        return {"data": {"iso": frames.rfc3339_nano(now_s * 1_000_000_000), "epoch": now_s}}

    # --- candles

    def _candles(self, product: Product, name: str, query: Query) -> Reply:
        if not product.has_candles:
            return not_found(name)
        timeframe = GRANULARITIES.get(one(query, "granularity", ""))
        if timeframe is None:
            raise BadRequest("granularity argument is invalid")
        now_ms = self._clock.now_ms()
        first_s, last_s = _span(query, timeframe, now_ms // 1000, self._options.page_buckets)
        limit = whole(query, "limit", self._options.page_buckets)
        last_s -= 0 if self._options.end_inclusive else 1
        rows, note = self._rows.read(product.name, timeframe, first_s, last_s, now_ms)
        if self._options.empty_rows:
            rows = with_empty_rows(rows, timeframe)
        price, size = product.price, product.size
        newest_first = rows[::-1][: max(0, limit)]
        ordered = newest_first[::-1] if self._options.rest_order == "oldest" else newest_first
        candles = [
            {
                "start": str(start_s),
                "low": price(low),
                "high": price(high),
                "open": price(opening),
                "close": price(close),
                "volume": size(volume),
            }
            for start_s, opening, high, low, close, volume in ordered.tolist()
        ]
        return as_json({"candles": candles}, note=self._rows.spoil(product.name, timeframe, candles) or note)

    # --- trades and book

    def _trades(self, product: Product, name: str, query: Query) -> Reply:
        limit, now_ms = whole(query, "limit", MAX_TRADES), self._clock.now_ms()
        if limit > 1_000:
            raise Internal("limit too large")
        start_s, end_s = whole(query, "start", 0), whole(query, "end", now_ms // 1000)
        until_ms = min(end_s * 1000 + 999, now_ms) + 1
        trades = self._trade_log.last_trades(product.name, until_ms, max(1, min(limit, MAX_TRADES)))
        trades = trades.between(start_s * 1000, until_ms)
        last = self._trade_log.last_trades(product.name, now_ms + 1, 1)
        bids, asks = book(int(last.price[0]), 1, 10**product.size_decimals) if len(last) else ([], [])
        more = {"bid": "", "ask": "", "exchange": "coinbase"}
        content = {
            "trades": [{**row, **more} for row in frames.trade_rows(product, trades, name)],
            "best_bid": product.price(bids[0][0]) if bids else "",
            "best_ask": product.price(asks[0][0]) if asks else "",
        }
        return as_json(content)

    def _book(self, product: Product, name: str, query: Query) -> Reply:
        now_ms, depth = self._clock.now_ms(), max(1, min(whole(query, "limit", 50), 500))
        last = self._trade_log.last_trades(product.name, now_ms + 1, 1)
        bids, asks = book(int(last.price[0]), depth, 10**product.size_decimals) if len(last) else ([], [])
        content = {
            "pricebook": {
                "product_id": name,
                "bids": [{"price": product.price(p), "size": product.size(s)} for p, s in bids],
                "asks": [{"price": product.price(p), "size": product.size(s)} for p, s in asks],
                "time": frames.trade_time(now_ms),
            },
            "last": product.price(int(last.price[0])) if len(last) else "",
        }
        return as_json(content)


def _span(query: Query, timeframe: Timeframe, now_s: int, most: int) -> tuple[int, int]:
    """First and last start of a bucket (UNIX seconds); without a range, of the newest `most` buckets."""
    reach = (most - 1) * timeframe.seconds
    if query.get("end") or not query.get("start"):
        last_s = whole(query, "end", timeframe.bucket(now_s))
        first_s = whole(query, "start", last_s - reach)
    else:
        first_s = whole(query, "start", 0)
        last_s = first_s + reach
    if last_s < first_s or first_s < 0:
        raise BadRequest("start and end argument is invalid - start must be before end")
    if (last_s - first_s) // timeframe.seconds + 1 > most:
        raise BadRequest(f"start and end argument is invalid - number of candles requested should be less than {most}")
    return first_s, last_s
