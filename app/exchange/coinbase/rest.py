"""The exchange's public REST: candles, the product listing, the time. One call, one request, no retry.

The caller respects the request budget and interprets the responses.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import orjson
import requests
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from urllib3.exceptions import HTTPError

from app.errors import InvalidInput, Refused, Throttled, Unavailable
from app.exchange.adapter import Page
from app.exchange.coinbase.listing import Listing, read_listing
from app.exchange.coinbase.models import BadFrame, read_candle, why
from app.market.candles import CandleState, UnifiedCandle
from app.market.product_ids import is_product_id
from app.market.timeframes import Timeframe
from app.util import network

log = logging.getLogger(__name__)

MAX_BUCKETS = 350
"""Maximum of buckets in one request for candles; the exchange refuses one more."""

_PATH = "/api/v3/brokerage"
_MAX_BODY_BYTES = 32 * 2**20
_CHUNK_BYTES = 64 * 1024
_MAX_PAUSE_S = 3600.0
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

T = TypeVar("T")


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Candles(_Reply):
    candles: list[Any]


class _Products(_Reply):
    products: list[Any]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20 else value


class _Time(_Reply):
    epoch_ms: Annotated[
        int, BeforeValidator(_whole), Field(validation_alias="epochMillis", strict=True, gt=0, lt=2**32 * 1000)
    ]


class CoinbaseRest:
    """One HTTP session to the exchange; make one per thread.

    Every method raises `Throttled` at 429, and at 401 or 403, which the exchange sends instead of it; `Refused` at 400,
    404 and other client errors; `Unavailable` for a time-out, a broken connection, 5xx, a redirect, or an invalid
    body.
    """

    def __init__(self, base_url: str, timeout_s: float = 10.0, session: requests.Session | None = None) -> None:
        """`base_url`: origin without a path. `timeout_s`: for a whole request, connecting and reading."""
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = session or network.session()

    def close(self) -> None:
        self._session.close()

    def candles(self, product: str, timeframe: Timeframe, first_s: int, last_s: int, *, observed_ms: int = 0) -> Page:
        """The candles of the buckets that start from `first_s` to `last_s` (UNIX seconds, inclusive).

        All are marked closed, even one that is still open: only the caller knows the exchange's time. `observed_ms`:
        that time, stored in each candle. An invalid row affects only itself.
        """
        _check_range(timeframe, first_s, last_s)
        params = {"start": str(first_s), "end": str(last_s), "granularity": _GRANULARITY[timeframe]}
        reply = self._get(f"/market/products/{_product_path(product)}/candles", params, _Candles.model_validate)
        return _page(reply.candles, product, timeframe, (first_s, last_s), observed_ms)

    def products(self) -> Listing:
        """All spot products of the listing, tradable or not, in its order. An invalid row affects only itself."""
        reply = self._get("/market/products", {"product_type": "SPOT"}, _Products.model_validate)
        listing = read_listing(reply.products)
        if not listing.products:
            raise Unavailable("the product listing has no valid product")
        return listing

    def time_ms(self) -> int:
        """The exchange's time (UNIX milliseconds)."""
        return self._get("/time", {}, _Time.model_validate).epoch_ms

    def _get(self, path: str, params: dict[str, str], read: Callable[[Any], T]) -> T:
        status, headers, body = self._request(path, params)
        _raise_for(path, status, headers, body)
        try:
            return read(orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise Unavailable(f"{path}: the reply is not JSON: {error}") from None
        except ValidationError as error:
            raise Unavailable(f"{path}: the reply is invalid: {why(error)}") from None

    def _request(self, path: str, params: dict[str, str]) -> tuple[int, Any, bytes]:
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._session.get(
                self._base_url + _PATH + path,
                params=params,
                headers={"Accept": "application/json", "Cache-Control": "no-cache"},
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code, response.headers, _body(path, response, deadline)
        except requests.exceptions.InvalidSchema:
            raise Unavailable(f"{path}: {network.SOCKS}") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            # Of requests' nested texts only the last one has the cause.
            cause = str(error).rsplit("Caused by ", 1)[-1]
            raise Unavailable(f"{path}: {type(error).__name__}: {cause[:200]}") from None


def _body(path: str, response: requests.Response, deadline: float) -> bytes:
    """The whole body, within bounds of size and time: requests' own time-out restarts with every byte."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise Unavailable(f"{path}: the reply is larger than {_MAX_BODY_BYTES} bytes")
        if time.monotonic() > deadline:
            raise Unavailable(f"{path}: the reply takes too long")
    return bytes(body)


def _raise_for(path: str, status: int, headers: Any, body: bytes) -> None:
    if status == 200:
        return
    what = f"{path}: {status} {_message(body)}".rstrip()
    if status in (401, 403):
        what += ": if this persists, the exchange blocks this address (a country, a data centre, a proxy)"
    if status in (429, 401, 403):
        raise Throttled(what, _retry_after_s(headers.get("Retry-After")))
    if 400 <= status < 500 and status not in (408, 425):
        raise Refused(what)
    raise Unavailable(what)


def _message(body: bytes) -> str:
    """The message in an error body of JSON; empty for any other body, such as HTML."""
    try:
        reply = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(reply, dict):
        return ""
    said = [reply.get(key) for key in ("error_details", "message", "error")]
    return next((text[:200] for text in said if isinstance(text, str) and text), "")


def _retry_after_s(value: str | None) -> float | None:
    """Seconds to wait; None for an HTTP date, which would need both clocks to agree."""
    if value is None or not (value.isascii() and value.isdigit()):
        return None
    return min(float(value[:9]), _MAX_PAUSE_S)


def _check_range(timeframe: Timeframe, first_s: int, last_s: int) -> None:
    if not (timeframe.is_aligned(first_s) and timeframe.is_aligned(last_s)):
        raise InvalidInput(f"{first_s} to {last_s}: not the starts of {timeframe} buckets")
    if not 0 < first_s <= last_s:
        raise InvalidInput(f"{first_s} to {last_s}: the range ends before it begins")
    buckets = (last_s - first_s) // timeframe.seconds + 1
    if buckets > MAX_BUCKETS:
        raise InvalidInput(f"{buckets} buckets requested: the exchange returns at most {MAX_BUCKETS}")


def _product_path(product: str) -> str:
    if not is_product_id(product):
        raise InvalidInput(f"invalid product {product!r}: expected a form like BTC-USD")
    return quote(product, safe="")


def _page(rows: list[Any], product: str, timeframe: Timeframe, asked: tuple[int, int], observed_ms: int) -> Page:
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
                candles[start_s] = read_candle(row, product, timeframe, CandleState.CLOSED, observed_ms)
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
