"""The REST answers, as values: no network here. `Rest.answer` is the whole API."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from app.exchange.local import frames
from app.exchange.local.clock import ExchangeClock
from app.exchange.local.faults import Faults, RestLate, RestStale
from app.exchange.local.listing import Listing
from app.exchange.local.market import Candles, Product
from app.exchange.local.options import Options
from app.exchange.local.queries import BadRequest, Internal, Query, one, whole
from app.exchange.local.replies import Reply, as_json, error, unauthorized
from app.exchange.local.stats import book
from app.exchange.local.tape import Tape
from app.timeframes import Timeframe

PREFIX = "/api/v3/brokerage"
MAX_BUCKETS = 350
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
    """The exchange's REST API over a tape and a clock. Safe to use from several threads."""

    def __init__(self, tape: Tape, clock: ExchangeClock, options: Options, faults: Faults) -> None:
        self._tape = tape
        self._clock = clock
        self._faults = faults
        self._listing = Listing(tape, clock)
        self._version_2 = {
            "/v2/time": self._time_2,
            "/v2/currencies": self._listing.fiat,
            "/v2/currencies/crypto": self._listing.crypto,
            "/v2/exchange-rates": self._listing.rates,
        }
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
                    return self._of(name, lambda product, name, _: self._listing.row(product, name), query)
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

    def _of(self, name: str, compute: Callable[[Product, str, Query], object], query: Query) -> Reply:
        """What `compute` says of the product called `name`, or 404."""
        canonical = self._tape.canonical(name)
        if canonical is None or self._tape.products[canonical].listed_ms > self._clock.now_ms():
            return as_json({"error": "NOT_FOUND", "message": f"Product {name} not supported"}, 404)
        return as_json(compute(self._tape.products[canonical], name, query))

    def _time(self) -> object:
        now_ms = self._clock.now_ms()
        iso = frames.zulu(now_ms // 1000 * 1_000_000_000)
        return {"iso": iso, "epochSeconds": str(now_ms // 1000), "epochMillis": str(now_ms)}

    def _time_2(self) -> object:
        now_s = self._clock.now_ms() // 1000
        return {"data": {"iso": frames.zulu(now_s * 1_000_000_000), "epoch": now_s}}

    # --- candles

    def _candles(self, product: Product, _name: str, query: Query) -> object:
        timeframe = GRANULARITIES.get(one(query, "granularity", ""))
        if timeframe is None:
            raise BadRequest("granularity argument is invalid")
        now_ms = self._clock.now_ms()
        first_s, last_s = _span(query, timeframe, now_ms // 1000)
        limit = whole(query, "limit", MAX_BUCKETS)
        rows = self._tape.candles(product.name, timeframe, first_s, last_s + 1, now_ms)
        late = self._faults.find(RestLate, lambda fault: fault.product in (None, product.name))
        if late is not None:
            ends_ms = (rows["start_s"] + timeframe.seconds) * 1000
            rows = rows[(ends_ms > now_ms) | (ends_ms + late.seconds * 1000 <= now_ms)]
        rows = self._stale(product.name, timeframe, rows, now_ms)
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

    def _stale(self, name: str, timeframe: Timeframe, rows: Candles, now_ms: int) -> Candles:
        """`rows`, but the newest closed bucket as it was at its half where that fault is in force."""
        stale = self._faults.find(RestStale, lambda fault: fault.product in (None, name))
        newest = timeframe.last_over(now_ms / 1000)
        if stale is None or newest + timeframe.seconds + stale.seconds <= now_ms / 1000:
            return rows
        half_ms = newest * 1000 + timeframe.seconds * 500
        early = self._tape.candles(name, timeframe, newest, newest + 1, half_ms)
        if not len(early):
            return rows
        rows = rows.copy()
        rows[rows["start_s"] == newest] = early[0]
        return rows

    # --- trades and book

    def _trades(self, product: Product, name: str, query: Query) -> object:
        limit, now_ms = whole(query, "limit", MAX_TRADES), self._clock.now_ms()
        if limit > 1_000:
            raise Internal("limit too large")
        start_s, end_s = whole(query, "start", 0), whole(query, "end", now_ms // 1000)
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
        now_ms, depth = self._clock.now_ms(), max(1, min(whole(query, "limit", 50), 500))
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


def _span(query: Query, timeframe: Timeframe, now_s: int) -> tuple[int, int]:
    """First and last second that a bucket may start at; without a range, the newest 350 buckets."""
    reach = (MAX_BUCKETS - 1) * timeframe.seconds
    if query.get("end") or not query.get("start"):
        last_s = whole(query, "end", timeframe.bucket(now_s))
        first_s = whole(query, "start", last_s - reach)
    else:
        first_s = whole(query, "start", 0)
        last_s = first_s + reach
    if last_s < first_s or first_s < 0:
        raise BadRequest("start and end argument is invalid - start must be before end")
    if (last_s - first_s) // timeframe.seconds + 1 > MAX_BUCKETS:
        raise BadRequest(
            f"start and end argument is invalid - number of candles requested should be less than {MAX_BUCKETS}"
        )
    return first_s, last_s
