"""REST over a real HTTP server: responses of the exchange, and the meaning of each."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.errors import ExchangeError, InvalidInput, Refused, Throttled, Unavailable
from app.exchange.coinbase.rest import MAX_BUCKETS, CoinbaseRest
from app.market.candles import CandleState
from app.market.timeframes import Timeframe
from simulator import LocalExchange, SeededMarket
from tests.servers import serving
from tests.support import PATIENCE_S, free_port
from tests.unit.exchange.coinbase.venue import BTC, STEP, T, row

pytestmark = pytest.mark.integration

M5 = Timeframe.M5
Answer = Callable[[BaseHTTPRequestHandler], None]


class Venue:
    """A server that sends one response to everything, and records its requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.answer: Answer = body({})
        venue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = {key: value for key, [value] in parse_qs(url.query).items()}
                venue.requests.append((url.path, query, {k.lower(): v for k, v in self.headers.items()}))
                try:
                    venue.answer(self)
                except OSError:  # the client has closed
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def body(content: object, status: int = 200, **headers: str) -> Answer:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)

    return answer


@pytest.fixture
def venue() -> Iterator[Venue]:
    made = Venue()
    with serving(made.server):
        yield made


@pytest.fixture
def rest(venue: Venue) -> Iterator[CoinbaseRest]:
    made = CoinbaseRest(venue.url, timeout_s=PATIENCE_S)
    yield made
    made.close()


def rows(*starts: int, **more: Any) -> dict[str, Any]:
    return {"candles": [{k: v for k, v in row(s).items() if k != "product_id"} | more for s in starts]}


def with_row(start_s: int, **more: Any) -> dict[str, Any]:
    """A row that `more` spoils, and one behind it."""
    return {"candles": [*rows(start_s, **more)["candles"], *rows(start_s + STEP)["candles"]]}


HTML = b"<!DOCTYPE html><html><title>Just a moment...</title>" + b"<p>" * 5_000


class TestCandles:
    def test_the_request(self, venue: Venue, rest: CoinbaseRest) -> None:
        venue.answer = body(rows())
        assert rest.candles(BTC, M5, T, T + 349 * STEP).candles == []
        path, query, headers = venue.requests[0]
        assert path == "/api/v3/brokerage/market/products/BTC-USD/candles"
        assert query == {"start": str(T), "end": str(T + 349 * STEP), "granularity": "FIVE_MINUTE"}
        assert headers["cache-control"] == "no-cache"
        assert "authorization" not in headers

    @pytest.mark.parametrize(
        ("timeframe", "name"),
        [
            ("1m", "ONE_MINUTE"),
            ("15m", "FIFTEEN_MINUTE"),
            ("30m", "THIRTY_MINUTE"),
            ("1h", "ONE_HOUR"),
            ("2h", "TWO_HOUR"),
            ("4h", "FOUR_HOUR"),
            ("6h", "SIX_HOUR"),
            ("1d", "ONE_DAY"),
        ],
    )
    def test_each_timeframe_has_its_name(self, venue: Venue, rest: CoinbaseRest, timeframe: str, name: str) -> None:
        venue.answer = body(rows())
        start = Timeframe(timeframe).bucket(T)
        rest.candles(BTC, Timeframe(timeframe), start, start)
        assert venue.requests[0][1]["granularity"] == name

    def test_quirk_15_newest_first_becomes_oldest_first(self, venue: Venue, rest: CoinbaseRest) -> None:
        venue.answer = body(rows(T + 2 * STEP, T + STEP, T))
        candles = rest.candles(BTC, M5, T, T + 2 * STEP).candles
        assert [c.start_s for c in candles] == [T, T + STEP, T + 2 * STEP]
        assert {(c.product, c.timeframe, c.state, c.exchange) for c in candles} == {
            (BTC, M5, CandleState.CLOSED, "coinbase")
        }

    def test_quirk_16_the_open_bucket_is_there_and_buckets_without_trades_are_not(
        self, venue: Venue, rest: CoinbaseRest
    ) -> None:
        venue.answer = body(rows(T + 3 * STEP, T))
        page = rest.candles(BTC, M5, T, T + 3 * STEP)
        assert [(c.start_s, c.observed_ms) for c in page.candles] == [(T, 0), (T + 3 * STEP, 0)]
        assert (page.covers_from_s, page.covers_to_s) == (T, T + 2 * STEP), "the newest row may still be growing"

    @pytest.mark.parametrize("starts", [(), (T + STEP,)], ids=["no row", "one row"])
    def test_less_than_two_rows_prove_no_empty_bucket(
        self, venue: Venue, rest: CoinbaseRest, starts: tuple[int, ...]
    ) -> None:
        venue.answer = body(rows(*starts))
        page = rest.candles(BTC, M5, T, T + 2 * STEP)
        assert len(page.candles) == len(starts)
        assert page.covers_to_s < page.covers_from_s

    def test_quirk_17_350_buckets_and_not_one_more(self, venue: Venue, rest: CoinbaseRest) -> None:
        venue.answer = body(rows())
        rest.candles(BTC, M5, T, T + (MAX_BUCKETS - 1) * STEP)
        with pytest.raises(InvalidInput, match="351 buckets"):
            rest.candles(BTC, M5, T, T + MAX_BUCKETS * STEP)
        assert len(venue.requests) == 1

    @pytest.mark.parametrize(
        ("product", "first_s", "last_s"),
        [
            (BTC, T + 1, T + STEP),
            (BTC, T, T + 1),
            (BTC, T, T - STEP),
            (BTC, -STEP, 0),
            (BTC, 0, 0),
            ("", T, T),
            ("BTC", T, T),
            ("../time", T, T),
            ("BTC-USD?x=1", T, T),
            ("btc-usd", T, T),
        ],
    )
    def test_a_wrong_request_is_not_sent(
        self, venue: Venue, rest: CoinbaseRest, product: str, first_s: int, last_s: int
    ) -> None:
        with pytest.raises(InvalidInput):
            rest.candles(product, M5, first_s, last_s)
        assert venue.requests == []

    @pytest.mark.parametrize(
        ("reply", "read", "unreadable"),
        [
            (rows(T, T + STEP, T + STEP), [T], {T + STEP}),
            (rows(T, T - STEP, T + 9 * STEP), [T], set()),
            (with_row(T, high="50"), [T + STEP], {T}),
            (with_row(T, open="NaN"), [T + STEP], {T}),
            (with_row(T, open=100), [T + STEP], {T}),
            (with_row(T, start=T), [T + STEP], set()),
            (with_row(T, start=str(T + 60)), [T + STEP], set()),
            ({"candles": [7, *rows(T)["candles"]]}, [T], set()),
        ],
        ids=["twice", "outside", "no range", "not a number", "not a text", "start not a text", "no start", "no row"],
    )
    def test_an_invalid_row_is_dropped_alone(
        self, venue: Venue, rest: CoinbaseRest, reply: object, read: list[int], unreadable: set[int]
    ) -> None:
        venue.answer = body(reply)
        page = rest.candles(BTC, M5, T, T + STEP)
        assert [c.start_s for c in page.candles] == read
        assert page.unreadable == unreadable

    @pytest.mark.parametrize(
        ("reply", "why"),
        [
            ({"candles": {}}, "candles"),
            ({"candles": None}, "candles"),
            ({}, "candles"),
            ([], "the reply is invalid"),
            (None, "the reply is invalid"),
        ],
        ids=str,
    )
    def test_a_reply_without_rows_is_broken(self, venue: Venue, rest: CoinbaseRest, reply: object, why: str) -> None:
        venue.answer = body(reply)
        with pytest.raises(Unavailable, match=why):
            rest.candles(BTC, M5, T, T + STEP)


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        (body({"errors": [{"id": "rate_limit_exceeded"}]}, 429), Throttled, "429"),
        (body(HTML, 429), Throttled, "429"),
        (body(b"", 429), Throttled, "429"),
        (body(b"Unauthorized", 401), Throttled, "401"),
        (body({"error_details": "Missing required scopes"}, 403), Throttled, "Missing required scopes"),
        (body({"error": "NOT_FOUND", "message": "Product NOPE-USD not supported"}, 404), Refused, "NOPE-USD"),
        (body({"error": "INVALID_ARGUMENT", "error_details": "less than 350"}, 400), Refused, "less than 350"),
        (body(HTML, 404), Refused, "404"),
        (body(b"", 410), Refused, "410"),
        (body(b"", 408), Unavailable, "408"),
        (body({"error": "INTERNAL"}, 500), Unavailable, "INTERNAL"),
        (body(HTML, 502), Unavailable, "502"),
        (body(b"", 503), Unavailable, "503"),
        (body(b"", 204), Unavailable, "204"),
        (body(b"", 302, Location="/elsewhere"), Unavailable, "302"),
        (body(HTML), Unavailable, "not JSON"),
        (body(b""), Unavailable, "not JSON"),
        (body(b'{"candles":['), Unavailable, "not JSON"),
        (body(b"\xff\xfe"), Unavailable, "not JSON"),
        (body(b"[" * 100_000), Unavailable, "not JSON"),
        (body(b"not gzip", Content_Encoding="gzip"), Unavailable, "decod"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_quirk_18_every_error_shows_whether_to_try_again(
    venue: Venue, rest: CoinbaseRest, answer: Answer, error: type[ExchangeError], why: str
) -> None:
    venue.answer = answer
    with pytest.raises(error, match=why) as raised:
        rest.candles(BTC, M5, T, T)
    assert type(raised.value) is error
    assert len(str(raised.value)) < 400
    assert raised.value.retry_after_s is None
    assert len(venue.requests) == 1, "one call, one request"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3),
        ("0", 0),
        ("999999999999", 7 * 86_400),
        ("1.5", None),
        ("-3", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("٣", None),
    ],
)
def test_retry_after(venue: Venue, rest: CoinbaseRest, header: str, seconds: float | None) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(
            b"HTTP/1.1 429 Too Many\r\nRetry-After: " + header.encode() + b"\r\nContent-Length: 0\r\n\r\n"
        )

    venue.answer = answer
    with pytest.raises(Throttled) as raised:
        rest.time_ms()
    assert raised.value.retry_after_s == seconds


def test_quirk_19_a_cacheable_response_is_requested_again(venue: Venue, rest: CoinbaseRest) -> None:
    venue.answer = body(rows(T), Cache_Control="public, max-age=14400", ETag='"x"')
    rest.candles(BTC, M5, T, T)
    rest.candles(BTC, M5, T, T)
    assert len(venue.requests) == 2
    assert "if-none-match" not in venue.requests[1][2]


def test_quirk_20_a_429_is_not_retried_automatically(venue: Venue, rest: CoinbaseRest) -> None:
    venue.answer = body(b"", 429, Retry_After="0")
    with pytest.raises(Throttled):
        rest.candles(BTC, M5, T, T)
    assert len(venue.requests) == 1


def test_a_redirect_is_not_followed(venue: Venue, rest: CoinbaseRest) -> None:
    venue.answer = body(b"", 301, Location=f"{venue.url}/elsewhere")
    with pytest.raises(Unavailable):
        rest.products()
    assert len(venue.requests) == 1


def test_a_compressed_answer_is_read(venue: Venue, rest: CoinbaseRest) -> None:
    venue.answer = body(gzip.compress(json.dumps(rows(T)).encode()), Content_Encoding="gzip")
    assert len(rest.candles(BTC, M5, T, T).candles) == 1


def test_an_endless_answer_is_given_up(venue: Venue) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10000000000\r\n\r\n")
        request.wfile.write(gzip.compress(b" " * 64 * 2**20))

    venue.answer = answer
    rest = CoinbaseRest(venue.url, timeout_s=PATIENCE_S)
    with pytest.raises(Unavailable, match="larger than"):
        rest.time_ms()
    rest.close()


@pytest.mark.parametrize("head", [b"Content-Length: 100000\r\n\r\n", b"X-A: "], ids=["body", "head"])
def test_an_answer_byte_by_byte_is_given_up(venue: Venue, head: bytes) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n" + head)
        gone = threading.Event()
        while not gone.wait(0.05):
            request.wfile.write(b" ")

    venue.answer = answer
    rest = CoinbaseRest(venue.url, timeout_s=0.5)
    with pytest.raises(Unavailable, match=r"too long|timed out"):
        rest.time_ms()
    rest.close()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", b"HTTP/1.1 200"])
def test_an_answer_that_breaks_off(venue: Venue, rest: CoinbaseRest, head: bytes) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(head)
        request.wfile.flush()
        request.connection.shutdown(socket.SHUT_RDWR)

    venue.answer = answer
    with pytest.raises(Unavailable, match="/time"):
        rest.time_ms()


def test_a_time_out(venue: Venue) -> None:
    over = threading.Event()

    def answer(_: BaseHTTPRequestHandler) -> None:
        over.wait(PATIENCE_S)

    venue.answer = answer
    rest = CoinbaseRest(venue.url, timeout_s=0.2)
    with pytest.raises(Unavailable, match=r"Timeout: 127\.0\.0\.1:\d+: ") as caught:
        rest.time_ms()
    assert "Pool" not in str(caught.value)
    over.set()
    rest.close()


def test_connection_refused() -> None:
    rest = CoinbaseRest(f"http://127.0.0.1:{free_port()}", timeout_s=PATIENCE_S)
    with pytest.raises(Unavailable, match="refused"):
        rest.time_ms()
    rest.close()


def test_a_socks_proxy_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", "")
    rest = CoinbaseRest("http://exchange.invalid", timeout_s=PATIENCE_S)
    with pytest.raises(Unavailable, match=r"HTTPS_PROXY, ALL_PROXY.* SOCKS is not supported"):
        rest.time_ms()
    rest.close()


class TestTime:
    @pytest.mark.parametrize("value", ["1769093449113", 1769093449113])
    def test_a_text_or_a_number(self, venue: Venue, rest: CoinbaseRest, value: object) -> None:
        venue.answer = body({"iso": "…", "epochSeconds": "1769093449", "epochMillis": value})
        assert rest.time_ms() == 1_769_093_449_113
        assert venue.requests[0][0] == "/api/v3/brokerage/time"

    @pytest.mark.parametrize("value", ["", "soon", "-1", -1, 0, 1.5, True, None, 10**15, "9" * 40, "１"])
    def test_anything_else_is_a_broken_reply(self, venue: Venue, rest: CoinbaseRest, value: object) -> None:
        venue.answer = body({"epochMillis": value})
        with pytest.raises(Unavailable):
            rest.time_ms()


class TestProducts:
    def test_the_listing(self, venue: Venue, rest: CoinbaseRest) -> None:
        venue.answer = body(
            {
                "products": [
                    {"product_id": BTC, "status": "online", "product_type": "SPOT", "alias_to": ["BTC-USDC"], "new": 1},
                    {"product_id": "BTC-USDC", "alias": BTC, "approximate_quote_24h_volume": "", "price": ""},
                    {"product_id": "../x"},
                    {"product_id": 7},
                    {"status": "online"},
                    "a text",
                ],
                "num_products": 6,
            }
        )
        products, rejected, *_ = rest.products()
        assert sorted(rejected) == ["../x", "row 4", "row 5", "row 6"]
        assert [(p.product, p.is_tradable, p.alias) for p in products] == [(BTC, True, ""), ("BTC-USDC", False, BTC)]
        assert venue.requests[0][:2] == ("/api/v3/brokerage/market/products", {"product_type": "SPOT"})

    def test_quirk_25_delisted_products_are_listed_and_not_tradable(self, venue: Venue, rest: CoinbaseRest) -> None:
        listed = {"product_id": "MATIC-USD", "product_type": "SPOT", "status": "online", "trading_disabled": True}
        venue.answer = body({"products": [listed]})
        assert [p.untradable_because for p in rest.products().products] == ["trading is disabled"]

    def test_a_cancel_only_product_is_not_tradable_and_an_auction_is_noted(
        self, venue: Venue, rest: CoinbaseRest
    ) -> None:
        listed = {"product_type": "SPOT", "status": "online"}
        rows = [
            listed | {"product_id": BTC, "cancel_only": True},
            listed | {"product_id": "ETH-USD", "auction_mode": True},
        ]
        venue.answer = body({"products": rows})
        first, second = rest.products().products
        assert (first.untradable_because, first.note) == ("orders can only be cancelled", "")
        assert (second.untradable_because, second.note) == (None, "it trades in auctions at the moment")

    @pytest.mark.parametrize("obeys", [True, False], ids=["pages", "ignores the offset"])
    def test_a_paged_listing_is_read_to_its_end_or_known_to_be_short(
        self, venue: Venue, rest: CoinbaseRest, obeys: bool
    ) -> None:
        rows = [{"product_id": f"P{n}-USD", "product_type": "SPOT", "status": "online"} for n in range(7)]
        listing, starts = None, [0, 3, 6] if obeys else [0, 0]
        for start in starts:
            venue.answer = body({"products": rows[start : start + 3], "num_products": 7})
            listing = rest.products(listing)
        assert listing is not None
        assert listing.is_last
        assert (len(listing.products), listing.is_short) == ((7, False) if obeys else (3, True))
        assert listing.rejected == {}
        offsets = [request[1].get("offset") for request in venue.requests]
        assert offsets == ([None, "3", "6"] if obeys else [None, "3"])

    @pytest.mark.parametrize("reply", [{"products": []}, {"products": [{"product_id": ""}]}, {"products": 7}, {}])
    def test_an_empty_listing_is_a_broken_one(self, venue: Venue, rest: CoinbaseRest, reply: object) -> None:
        venue.answer = body(reply)
        with pytest.raises(Unavailable):
            rest.products()


def test_against_the_local_exchange() -> None:
    start_s = T - 400 * STEP
    with LocalExchange(SeededMarket(7, start_s=start_s), speed=60, start_ms=T * 1000) as exchange:
        rest = CoinbaseRest(exchange.rest_url)
        assert T * 1000 <= rest.time_ms() <= exchange.clock.now_ms()
        assert BTC in [p.product for p in rest.products().products if p.is_tradable]
        candles = rest.candles(BTC, M5, T - 350 * STEP, T - STEP).candles
        truth = exchange.truth(BTC, M5, T - 350 * STEP, T - STEP)
        found = {c.start_s: (c.open, c.high, c.low, c.close, c.volume) for c in candles}
        fields = ("open", "high", "low", "close", "volume")
        assert found.items() >= {int(c["start"]): tuple(float(c[f]) for f in fields) for c in truth}.items()
        assert len(found) > 300
        with pytest.raises(Refused, match="NOPE-USD"):
            rest.candles("NOPE-USD", M5, T - STEP, T - STEP)
        rest.close()


def test_passwords_of_a_file_are_not_for_the_exchange(
    venue: Venue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    venue.answer = body({"epochMillis": "1614816000000"})
    rest = CoinbaseRest(venue.url)
    rest.time_ms()
    rest.close()
    ((_, _, headers),) = venue.requests
    assert "authorization" not in headers
