"""Coinbase's public REST: candles, the product listing, the time."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias
from urllib.parse import quote

import requests
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.errors import InvalidInput, Unavailable
from app.exchange.adapter import ExchangeRest, Page
from app.exchange.coinbase.models import listed_product, read_candle
from app.exchange.frames import BadFrame
from app.exchange.http import Http
from app.exchange.listing import Listing, read_listing
from app.market.candles import CandleState, UnifiedCandle
from app.market.product_ids import is_product_id
from app.market.timeframes import Timeframe

log = logging.getLogger(__name__)

MAX_BUCKETS = 350
"""Maximum of buckets in one request for candles; the exchange refuses one more."""

Query: TypeAlias = tuple[str, Mapping[str, str]]
"""A path below the API's, and parameters."""

LISTING_PATH = "/market/products"
TIME_QUERY: Query = ("/time", {})

_PATH = "/api/v3/brokerage"
_GRANULARITY = {
    Timeframe.M1: "ONE_MINUTE",
    Timeframe.M5: "FIVE_MINUTE",
    Timeframe.M15: "FIFTEEN_MINUTE",
    Timeframe.M30: "THIRTY_MINUTE",
    Timeframe.H1: "ONE_HOUR",
    Timeframe.H2: "TWO_HOUR",
    Timeframe.H4: "FOUR_HOUR",
    Timeframe.H6: "SIX_HOUR",
    Timeframe.D1: "ONE_DAY",
}


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Candles(_Reply):
    candles: list[Any]


class _Products(_Reply):
    products: list[Any]
    num_products: int | None = Field(None, strict=True, ge=0)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


class _Time(_Reply):
    epoch_ms: Annotated[
        int, BeforeValidator(_whole), Field(validation_alias="epochMillis", strict=True, gt=0, lt=2**32 * 1000)
    ]


THROTTLED = (429, 401, 403)
"""Statuses of a throttled request: the exchange sends 401 and 403 instead of 429."""


def http(base_url: str, timeout_s: float, session: requests.Session | None = None) -> Http:
    """A session to the API. `base_url`: origin without a path."""
    return Http(base_url.rstrip("/") + _PATH, timeout_s, lambda reply: reply.status in THROTTLED, session)


class CoinbaseRest(ExchangeRest):
    def __init__(self, base_url: str, timeout_s: float = 10.0, session: requests.Session | None = None) -> None:
        self._http = http(base_url, timeout_s, session)

    def close(self) -> None:
        self._http.close()

    def candles(self, product: str, timeframe: Timeframe, first_s: int, last_s: int) -> Page:
        _check_range(timeframe, first_s, last_s)
        reply = self._http.get(*candles_query(product, timeframe, first_s, last_s), _Candles.model_validate)
        return _page(reply.candles, product, timeframe, (first_s, last_s))

    def products(self, before: Listing | None = None) -> Listing:
        """Spot products, in pages: some servers return only the first rows, and some of these ignore the offset."""
        return self._http.get(*listing_query(before), lambda reply: read_products(reply, before))

    def time_ms(self) -> int:
        return self._http.get(*TIME_QUERY, _Time.model_validate).epoch_ms


def _check_range(timeframe: Timeframe, first_s: int, last_s: int) -> None:
    if not (timeframe.is_aligned(first_s) and timeframe.is_aligned(last_s)):
        raise InvalidInput(f"{first_s} to {last_s}: not the starts of {timeframe} buckets")
    if not 0 < first_s <= last_s:
        raise InvalidInput(f"{first_s} to {last_s}: the range ends before it begins")
    buckets = (last_s - first_s) // timeframe.seconds + 1
    if buckets > MAX_BUCKETS:
        raise InvalidInput(f"{buckets} buckets requested: the exchange returns at most {MAX_BUCKETS}")


def candles_query(product: str, timeframe: Timeframe, first_s: int, last_s: int) -> Query:
    """The request for candles. Only the product is checked."""
    params = {"start": str(first_s), "end": str(last_s), "granularity": _GRANULARITY[timeframe]}
    return f"/market/products/{_product_path(product)}/candles", params


def listing_query(before: Listing | None = None) -> Query:
    """The request for the listing, or for what follows `before`."""
    return LISTING_PATH, {"product_type": "SPOT", **({"offset": str(before.rows)} if before else {})}


def read_products(reply: object, before: Listing | None = None) -> Listing:
    """`before` with the part of the listing in `reply`. Raises `Unavailable`, or `ValidationError`."""
    products = _Products.model_validate(reply)
    listing = read_listing(products.products, listed_product, "product_id", before)
    if not listing.products:
        raise Unavailable("the product listing has no valid product")
    if before and len(listing.products) == len(before.products):
        return before._replace(is_last=True)
    listing = listing._replace(expected_rows=products.num_products)
    return listing._replace(is_last=not listing.is_short)


def _product_path(product: str) -> str:
    if not is_product_id(product):
        raise InvalidInput(f"invalid product {product!r}: expected a form like BTC-USD")
    return quote(product, safe="")


def _page(rows: list[Any], product: str, timeframe: Timeframe, asked: tuple[int, int]) -> Page:
    """The page in `rows`. If one has no readable bucket, any bucket may be its: then nothing is covered."""
    candles: dict[int, UnifiedCandle] = {}
    unreadable: set[int] = set()
    is_whole = True
    for row in rows:
        start_s = _start_of(row, timeframe)
        if start_s is None:
            is_whole = False
        elif start_s in candles:
            unreadable.add(start_s)
        elif asked[0] <= start_s <= asked[1]:
            try:
                candles[start_s] = read_candle(row, product, timeframe, CandleState.CLOSED, observed_ms=0)
            except BadFrame as bad:
                log.warning("candles of %s %s: ignoring the row of bucket %d: %s", product, timeframe, start_s, bad)
                unreadable.add(start_s)
    good = [candles[start_s] for start_s in sorted(candles) if start_s not in unreadable]
    page = Page.between_rows(good, timeframe.seconds, unreadable)
    return page if is_whole else page._replace(covers_to_s=page.covers_from_s - timeframe.seconds)


def _start_of(row: Any, timeframe: Timeframe) -> int | None:
    """The bucket of `row`; None if it has none."""
    text = row.get("start") if isinstance(row, dict) else None
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 12):
        return None
    return int(text) if timeframe.is_aligned(int(text)) else None
