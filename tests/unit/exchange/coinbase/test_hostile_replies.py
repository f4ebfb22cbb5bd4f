"""Any REST reply yields valid candles, valid products, or an error that is specific."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from app.errors import Refused, Throttled, Unavailable
from app.exchange.adapter import Page
from app.exchange.coinbase.rest import CoinbaseRest
from app.exchange.product_selection import aliases, doubts, select_products
from app.market.product_ids import is_product_id
from app.market.timeframes import Timeframe
from tests.unit.exchange.coinbase.test_hostile_frames import json_values
from tests.unit.exchange.coinbase.venue import BTC, STEP, T, row

LAST = T + 3 * STEP


class Replies(BaseAdapter):
    """Sends one reply to every request, without a socket."""

    def __init__(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self._reply = body, status, headers or {}

    def send(self, request: Any, *_: object, **__: object) -> requests.Response:
        body, status, headers = self._reply
        response = requests.Response()
        response.status_code, response.url, response.request = status, request.url, request
        response.headers.update(headers)
        response.raw = HTTPResponse(BytesIO(body), headers=headers, status=status, preload_content=False)
        return response

    def close(self) -> None:
        pass


def rest(body: object, status: int = 200, headers: dict[str, str] | None = None) -> CoinbaseRest:
    session = requests.Session()
    session.mount("http://", Replies(body if isinstance(body, bytes) else json.dumps(body).encode(), status, headers))
    return CoinbaseRest("http://exchange", session=session)


def page(made: CoinbaseRest) -> Page | None:
    """The parsed page, or None if the response was not used."""
    try:
        return made.candles(BTC, Timeframe.M5, T, LAST)
    except (Unavailable, Refused, Throttled):
        return None


def candles(read: Page | None) -> list[tuple[int, float, float, float, float, float]] | None:
    return None if read is None else [(c.start_s, c.open, c.high, c.low, c.close, c.volume) for c in read.candles]


def absent(read: Page) -> list[int]:
    """The buckets, counted from `T`, that the page proves to be empty."""
    there = {c.start_s for c in read.candles} | read.unreadable
    covered = range(read.covers_from_s, read.covers_to_s + 1, STEP)
    return [(start_s - T) // STEP for start_s in covered if start_s not in there]


def numbers(row: dict[str, str]) -> tuple[int, float, float, float, float, float]:
    return (int(row["start"]), *(float(row[name]) for name in ("open", "high", "low", "close", "volume")))  # type: ignore[return-value]


def rows(count: int) -> list[dict[str, Any]]:
    return [row(T + number * STEP, volume=number + 1) for number in range(count)]


TRUE = [(T + n * STEP, 100.0, 105.0, 95.0, 100.0, n + 1.0) for n in range(4)]


def error_of(call: Callable[[], object]) -> Exception | None:
    try:
        call()
    except (Unavailable, Refused, Throttled) as error:
        return error
    return None


bodies = (
    st.binary(max_size=40)
    | json_values.map(lambda value: json.dumps(value).encode())
    | json_values.map(lambda value: json.dumps({"candles": value, "products": value, "epochMillis": value}).encode())
)
statuses = st.sampled_from([200, 200, 200, 204, 301, 400, 401, 403, 404, 408, 418, 425, 429, 500, 503, 599])
headers = st.dictionaries(
    st.sampled_from(["Retry-After", "Content-Encoding", "Content-Type"]),
    st.sampled_from(["0", "-1", "9" * 30, "٣", "gzip", "br", "x", "Wed, 21 Oct 2026 07:28:00 GMT"]),
)


@given(bodies, statuses, headers)
def test_any_reply_is_data_or_an_error_of_ours(body: bytes, status: int, more: dict[str, str]) -> None:
    made = rest(body, status, more)
    for call in (lambda: made.candles(BTC, Timeframe.M5, T, LAST), made.products, made.time_ms):
        error = error_of(call)
        assert len(str(error)) < 400
        if isinstance(error, Throttled):
            assert error.retry_after_s is None or 0 <= error.retry_after_s <= 7 * 86_400


@pytest.mark.parametrize(
    ("answered", "covered", "empty"),
    [
        ([0, 1, 2, 3], (0, 2), []),
        ([0, 3], (0, 2), [1, 2]),
        ([1, 3], (1, 2), [2]),
        ([2], (2, 1), []),
        ([], None, []),
    ],
)
def test_a_page_covers_the_buckets_between_its_oldest_and_its_newest_row(
    answered: list[int], covered: tuple[int, int] | None, empty: list[int]
) -> None:
    read = page(rest({"candles": [rows(4)[number] for number in answered]}))
    assert read is not None
    assert candles(read) == [TRUE[number] for number in answered]
    assert absent(read) == empty
    assert (
        read.covers_to_s < read.covers_from_s if covered is None else read[1:3] == tuple(T + n * STEP for n in covered)
    )


junk_values = json_values.map(lambda value: json.loads(json.dumps(value), parse_constant=str))
"""Without infinities and NaN: they are not JSON, so the whole reply would be unreadable."""

NUMBERS = sorted(set(rows(1)[0]) - {"product_id", "start"})


@given(st.integers(0, 3), st.sampled_from(NUMBERS), junk_values | st.text(max_size=3) | st.none())
def test_a_row_with_a_wrong_number_is_dropped_alone(which: int, field: str, junk: object) -> None:
    """It is neither a candle nor an empty bucket: the page proves nothing about its buckets."""
    spoilt = rows(4)
    del spoilt[which][field]
    if junk is not None:
        spoilt[which][field] = f"!{junk}" if isinstance(junk, str) else junk
    read = page(rest({"candles": spoilt}))
    assert candles(read) == [row for number, row in enumerate(TRUE) if number != which]
    assert read is not None
    assert read.unreadable == {T + which * STEP}
    assert absent(read) == []


no_texts = junk_values.filter(lambda value: not isinstance(value, str))


@given(st.integers(0, 3), no_texts | st.sampled_from(["", "x", str(T + 1), "-300", "9" * 40]))
def test_a_row_without_a_bucket_voids_every_empty_bucket(which: int, junk: object) -> None:
    """It may be the row of any bucket that seems to be missing."""
    spoilt: list[Any] = [row for row in rows(4) if row["start"] != str(T + STEP)]
    spoilt.insert(which, junk if isinstance(junk, list) else row(T) | {"start": junk})
    read = page(rest({"candles": spoilt}))
    assert read is not None
    assert candles(read) == [TRUE[0], *TRUE[2:]]
    assert absent(read) == []


@given(st.permutations(range(4)), st.integers(0, 3))
def test_the_order_of_rows_does_not_matter_and_rows_outside_the_range_neither(order: list[int], which: int) -> None:
    mixed = [rows(4)[number] for number in order]
    mixed.insert(which, row(LAST + (which + 1) * STEP))
    read = page(rest({"candles": mixed}))
    assert candles(read) == TRUE
    assert read is not None
    assert read[1:3] == (T, LAST - STEP)


@given(st.integers(0, 3), st.booleans())
def test_of_two_rows_for_one_bucket_neither_is_used(which: int, is_same: bool) -> None:
    twice = [*rows(4), row(T + which * STEP, volume=which + 1 if is_same else 77)]
    read = page(rest({"candles": twice}))
    assert candles(read) == [row for number, row in enumerate(TRUE) if number != which]
    assert read is not None
    assert absent(read) == []


@example(b"9", 659)
@given(st.binary(max_size=12), st.integers(0, 10_000))
def test_a_damaged_reply_never_yields_other_candles(noise: bytes, place: int) -> None:
    whole = json.dumps({"candles": rows(4)}).encode()
    at = place % len(whole)
    assert page(rest(whole[:at])) is None
    read = page(rest(spoilt := whole[:at] + noise + whole[at + len(noise) :]))
    if read is not None:
        all_rows = json.loads(spoilt)["candles"]
        whole_rows = [numbers(row) for row in all_rows if is_whole(row)]
        assert set(candles(read) or ()) <= set(whole_rows)
        elsewhere = [number for number in whole_rows if not T <= number[0] <= LAST and number[0] % STEP == 0]
        assert len(absent(read)) <= len(elsewhere), "a row may have become one of a bucket that was not requested"


def is_whole(row: Any) -> bool:
    try:
        return bool(numbers(row))
    except (KeyError, TypeError, ValueError):
        return False


listing_rows = st.fixed_dictionaries(
    {},
    optional={
        "product_id": st.sampled_from(["BTC-USD", "ETH-USD", "A/../B-USD", "BTC-USD\n", "", "x" * 99]) | json_values,
        "status": st.sampled_from(["online", "delisted"]) | json_values,
        "product_type": st.sampled_from(["SPOT", "FUTURE"]) | json_values,
        "quote_currency_id": st.sampled_from(["USD", "USDC"]) | json_values,
        "alias": st.sampled_from(["", "BTC-USD", "BTC/USD"]) | json_values,
        **{name: st.booleans() | json_values for name in ("trading_disabled", "is_disabled", "view_only")},
        **{
            name: st.sampled_from(["", "1.5", "NaN", "-1", "1e99", "1" * 60]) | json_values
            for name in ("price", "volume_24h", "approximate_quote_24h_volume")
        },
    },
)


@example([{"product_id": "ETH-USD", "alias": "BTC/USD"}])
@example([{"product_id": "BTC-USD", "status": "online", "product_type": "SPOT"}])
@given(st.lists(listing_rows | json_values, max_size=6))
def test_only_valid_products_of_any_listing_are_followed(listing: list[object]) -> None:
    whole = {"product_id": BTC, "status": "online", "product_type": "SPOT", "quote_currency_id": "USD"}
    listing = json.loads(json.dumps(listing), parse_constant=str)  # JSON has neither infinities nor NaN
    products, rejected, *_ = rest({"products": [*listing, whole]}).products()
    assert len(rejected) <= len(listing)
    assert all(len(name) <= 800 and reason for name, reason in rejected.items())
    assert len({p.product for p in products}) == len(products)
    assert all(is_product_id(p.product) for p in products)
    assert all(0 <= p.quote_volume_24h < float("inf") for p in products)
    chosen = select_products(["all:USD", "top:2:USD"], products)
    assert BTC in chosen
    assert set(chosen) <= {p.product for p in products if p.is_tradable}
    assert all(isinstance(reason, str) for reason in doubts(["BTC-USD", "ETH-USD"], products).values())
    assert all(is_product_id(alias) for alias in aliases(products).values())


@pytest.mark.parametrize("value", ["0", -1, 1.5, True, None, "1e9", "1769093410123x", 2**32 * 1000, []])
def test_an_invalid_time_is_not_used(value: object) -> None:
    with pytest.raises(Unavailable):
        rest({"epochMillis": value}).time_ms()
    assert rest({"epochMillis": "1769093410123"}).time_ms() == 1_769_093_410_123
