"""Whatever REST answers: candles as they should be, products that make sense, or an error that says what to do."""

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
from app.exchange.coinbase.rest import CoinbaseRest
from app.exchange.coinbase.universe import aliases, doubts, select_products
from app.product_ids import is_product_id
from app.timeframes import Timeframe
from tests.unit.exchange.coinbase.test_hostile_frames import json_values
from tests.unit.exchange.coinbase.venue import BTC, STEP, T, row

LAST = T + 3 * STEP


class Replies(BaseAdapter):
    """Gives one reply to everything, without a socket."""

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


def candles(made: CoinbaseRest) -> list[tuple[int, float, float, float, float, float]] | None:
    """What was read; None where the answer was not taken."""
    try:
        read = made.candles(BTC, Timeframe.M5, T, LAST)
    except (Unavailable, Refused, Throttled):
        return None
    return [(c.start_s, c.open, c.high, c.low, c.close, c.volume) for c in read]


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
            assert error.retry_after_s is None or 0 <= error.retry_after_s <= 3600


@given(st.integers(0, 3), st.sampled_from(sorted(set(rows(1)[0]) - {"product_id"})), json_values | st.text(max_size=3))
def test_a_reply_with_one_wrong_number_is_not_taken_at_all(which: int, field: str, junk: object) -> None:
    """Half an answer would make the missing half a proof of no trades."""
    spoilt = rows(4)
    spoilt[which][field] = f"!{junk}" if isinstance(junk, str) else junk
    assert candles(rest({"candles": spoilt})) is None


@given(st.integers(0, 3), st.sampled_from(sorted(set(rows(1)[0]) - {"product_id"})))
def test_a_reply_that_lacks_a_number_is_not_taken_at_all(which: int, field: str) -> None:
    lacking = rows(4)
    del lacking[which][field]
    assert candles(rest({"candles": lacking})) is None


@given(st.permutations(range(4)), st.integers(0, 3), st.sampled_from(["twice", "outside", "a list", None]), json_values)
def test_order_does_not_matter_and_rows_that_do_not_belong_do(
    order: list[int], which: int, how: str | None, junk: object
) -> None:
    told: list[object] = [rows(4)[number] for number in order]
    match how:
        case "twice":
            told.append(told[which])
        case "outside":
            told.append(row(LAST + (which + 1) * STEP))
        case "a list":
            told[which] = [junk]
    assert candles(rest({"candles": told})) == (None if how else TRUE)


@given(st.binary(max_size=12), st.integers(0, 10_000))
def test_a_reply_that_was_cut_or_overwritten_is_never_more_than_it_says(noise: bytes, where: int) -> None:
    whole = json.dumps({"candles": rows(4)}).encode()
    at = where % len(whole)
    assert candles(rest(whole[:at])) is None
    spoilt = whole[:at] + noise + whole[at + len(noise) :]
    read = candles(rest(spoilt))
    assert read is None or read == sorted(map(numbers, json.loads(spoilt)["candles"]))


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
@given(st.lists(listing_rows | json_values, max_size=6))
def test_of_any_listing_only_what_makes_sense_is_followed(listing: list[object]) -> None:
    whole = {"product_id": BTC, "status": "online", "product_type": "SPOT", "quote_currency_id": "USD"}
    listing = json.loads(json.dumps(listing), parse_constant=str)  # JSON has neither infinities nor NaN
    products, rejected = rest({"products": [*listing, whole]}).products()
    assert len(rejected) <= len(listing)
    assert all(len(name) <= 800 and reason for name, reason in rejected.items())
    assert len({p.product_id for p in products}) == len(products)
    assert all(is_product_id(p.product_id) for p in products)
    assert all(0 <= p.quote_volume_24h < float("inf") for p in products)
    chosen = select_products(["all:USD", "top:2:USD"], products)
    assert BTC in chosen
    assert set(chosen) <= {p.product_id for p in products if p.tradable}
    assert all(isinstance(reason, str) for reason in doubts(["BTC-USD", "ETH-USD"], products).values())
    assert all(is_product_id(alias) for alias in aliases(products).values())


@pytest.mark.parametrize("value", ["0", -1, 1.5, True, None, "1e9", "1769093410123x", 2**32 * 1000, []])
def test_a_time_that_is_none_is_not_taken(value: object) -> None:
    with pytest.raises(Unavailable):
        rest({"epochMillis": value}).time_ms()
    assert rest({"epochMillis": "1769093410123"}).time_ms() == 1_769_093_410_123
