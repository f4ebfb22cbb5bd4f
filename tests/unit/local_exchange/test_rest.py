"""REST responses, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.market.timeframes import Timeframe
from simulator.clock import ExchangeClock
from simulator.faults import Faults, parse
from simulator.options import Options
from simulator.replies import Reply
from simulator.rest import GRANULARITIES, PREFIX, Rest
from simulator.rest_faults import RestLate, RestStale
from simulator.seeded import SeededMarket
from simulator.trade_log import TradeLog

NOW_S = 1_614_816_000 + 137
CANDLES = f"{PREFIX}/market/products/BTC-USD/candles"


class Exchange:
    """A trade log, faults and REST on a clock that moves only when set."""

    def __init__(self) -> None:
        self.clock = ExchangeClock(NOW_S * 1000, 0)
        self.trade_log = TradeLog(SeededMarket(7, start_s=NOW_S))
        self.faults = Faults()
        self.rest = Rest(self.trade_log, self.clock, Options(), self.faults)

    def reply(self, path: str, **query: object) -> Reply:
        return self.rest.answer(path, {name: [str(value)] for name, value in query.items()})

    def get(self, path: str, **query: object) -> Any:
        reply = self.reply(path, **query)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    def inject(self, fault: str, **parameters: object) -> None:
        self.faults.add(parse({"fault": fault, **parameters}))

    def page(self, buckets: int = 10, product: str = "BTC-USD") -> list[dict[str, str]]:
        """The newest `buckets` of 5m with the open one, oldest first."""
        open_s = Timeframe.M5.bucket(self.clock.now_ms() / 1000)
        query = {"granularity": ["FIVE_MINUTE"], "start": [str(open_s - (buckets - 1) * 300)], "end": [str(open_s)]}
        reply = self.rest.answer(CANDLES.replace("BTC-USD", product), query, fresh=True)
        rows: list[dict[str, str]] = json.loads(reply.body)["candles"]
        return rows[::-1]

    def starts(self, **query: object) -> list[int]:
        return [int(c["start"]) for c in self.get(CANDLES, **query)["candles"]]


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_candles_are_newest_first_inclusive_and_true(exchange: Exchange, granularity: str) -> None:
    timeframe = GRANULARITIES[granularity]
    open_s = timeframe.bucket(NOW_S)
    first = open_s - 9 * timeframe.seconds
    rows = exchange.get(CANDLES, granularity=granularity, start=first, end=open_s)["candles"]
    assert list(rows[0]) == ["start", "low", "high", "open", "close", "volume"]
    over = [row for row in rows if int(row["start"]) < open_s]
    truth = exchange.trade_log.truth("BTC-USD", timeframe, first, open_s, NOW_S * 1000)
    assert len(truth) == 9
    assert over == truth[::-1]


def test_350_buckets_are_answered_and_351_refused_with_the_exchanges_text(exchange: Exchange) -> None:
    end = Timeframe.M5.bucket(NOW_S) - 300
    assert len(exchange.starts(granularity="FIVE_MINUTE", start=end - 349 * 300, end=end)) == 350
    refused = exchange.reply(CANDLES, granularity="FIVE_MINUTE", start=end - 350 * 300, end=end)
    detail = "start and end argument is invalid - number of candles requested should be less than 350"
    assert refused.status == 400
    assert json.loads(refused.body) == {"error": "INVALID_ARGUMENT", "error_details": detail, "message": detail}


def test_without_a_range_the_newest_come_with_the_open_bucket(exchange: Exchange) -> None:
    starts = exchange.starts(granularity="FIVE_MINUTE")
    assert len(starts) == 350
    assert starts[0] == Timeframe.M5.bucket(NOW_S)
    assert exchange.starts(granularity="FIVE_MINUTE", limit=3) == starts[:3]
    assert exchange.starts(granularity="FIVE_MINUTE", start=starts[4])[-1] == starts[4]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"granularity": "UNKNOWN_GRANULARITY"},
        {"granularity": "THREE_HOUR"},
        {"granularity": "ONE_DAY", "start": "2021-01-01"},
        {"granularity": "ONE_DAY", "start": 9, "end": 5},
        {"granularity": "ONE_DAY", "start": "9" * 30},
        {"granularity": "ONE_DAY", "start": "-"},
        {"granularity": "ONE_DAY", "start": "²"},
    ],
)
def test_bad_arguments_are_refused_as_invalid(exchange: Exchange, query: dict[str, object]) -> None:
    refused = exchange.reply(CANDLES, **query)
    assert refused.status == 400
    assert json.loads(refused.body)["error"] == "INVALID_ARGUMENT"


def test_unknown_products_are_not_found_and_private_paths_unauthorized(exchange: Exchange) -> None:
    for name in ("NOPE-USD", "TIA-USD"):
        unknown = exchange.reply(f"{PREFIX}/market/products/{name}/candles", granularity="ONE_DAY")
        assert unknown.status == 404
        assert json.loads(unknown.body) == {"error": "NOT_FOUND", "message": f"Product {name} not supported"}
    for path in ("products", "products/BTC-USD/candles", "accounts"):
        private = exchange.reply(f"{PREFIX}/{path}")
        assert (private.status, private.body, private.content_type) == (401, b"Unauthorized", "text/plain")


def test_the_listing_has_aliases_a_delisted_product_and_pages(exchange: Exchange) -> None:
    listing = exchange.get(f"{PREFIX}/market/products", product_type="SPOT")
    rows = {row["product_id"]: row for row in listing["products"]}
    assert listing["num_products"] == len(rows)
    assert rows["BTC-USDC"]["alias"] == "BTC-USD"
    assert rows["BTC-USD"]["alias_to"] == ["BTC-USDC"]
    assert rows["REN-USD"]["trading_disabled"] is True
    assert rows["REN-USD"]["status"] == "delisted"
    assert "TIA-USD" not in rows
    page = exchange.get(f"{PREFIX}/market/products", limit=3, offset=2)
    assert [row["product_id"] for row in page["products"]] == list(rows)[2:5]
    assert page["pagination"] == {"prev_cursor": "", "next_cursor": "", "has_next": True, "has_prev": True}
    assert exchange.get(f"{PREFIX}/market/products", product_type="FUTURE")["products"] == []
    two = exchange.rest.answer(f"{PREFIX}/market/products", {"product_ids": ["ETH-USD", "BTC-USDC"]})
    assert {row["product_id"] for row in json.loads(two.body)["products"]} == {"ETH-USD", "BTC-USDC"}
    assert exchange.get(f"{PREFIX}/market/products/BTC-USDC")["product_id"] == "BTC-USDC"


def test_an_alias_answers_with_the_other_products_data_under_its_own_name(exchange: Exchange) -> None:
    query = {"granularity": "ONE_HOUR"}
    assert exchange.get(f"{PREFIX}/market/products/BTC-USDC/candles", **query) == exchange.get(CANDLES, **query)
    trades = exchange.get(f"{PREFIX}/market/products/BTC-USDC/ticker", limit=5)
    assert {trade["product_id"] for trade in trades["trades"]} == {"BTC-USDC"}


def test_trades_are_at_most_a_hundred_newest_first_inside_the_window(exchange: Exchange) -> None:
    path = f"{PREFIX}/market/products/ETH-USD/ticker"
    ids = [int(t["trade_id"]) for t in exchange.get(path, limit=1_000)["trades"]]
    assert ids == list(range(ids[0], ids[0] - 100, -1))
    assert exchange.reply(path, limit=1_001).status == 500
    window = exchange.get(path, limit=100, start=NOW_S - 600, end=NOW_S - 300)["trades"]
    truth = exchange.trade_log.trades("ETH-USD", (NOW_S - 600) * 1000, (NOW_S - 299) * 1000)
    assert [int(t["trade_id"]) for t in window] == truth.trade_id[::-1].tolist()


def test_time_consists_of_strings(exchange: Exchange) -> None:
    assert exchange.get(f"{PREFIX}/time") == {
        "iso": "2021-03-04T00:02:17Z",
        "epochSeconds": str(NOW_S),
        "epochMillis": str(NOW_S * 1000),
    }


def test_responses_are_cached_for_a_second_unless_the_client_wants_fresh_ones(exchange: Exchange) -> None:
    path = f"{PREFIX}/time"
    exchange.reply(path)
    exchange.clock.jump(999)
    assert exchange.reply(path).headers["cf-cache-status"] == "HIT"
    assert json.loads(exchange.rest.answer(path, {}, fresh=True).body)["epochMillis"] == str(NOW_S * 1000 + 999)
    exchange.clock.jump(1_000)
    assert exchange.get(path)["epochMillis"] == str(NOW_S * 1000 + 1_999)
    assert exchange.reply(path).headers["cache-control"] == "public, max-age=14400"


def test_late_rest_leaves_the_newest_closed_bucket_out_until_its_time(exchange: Exchange) -> None:
    open_s = Timeframe.M5.bucket(NOW_S)
    exchange.faults.add(RestLate(fault="rest_late", seconds=200))
    query = {"granularity": "FIVE_MINUTE", "start": open_s - 600, "end": open_s}
    assert exchange.starts(**query) == [open_s, open_s - 600]
    exchange.clock.set((open_s + 200) * 1000)
    assert exchange.starts(**query) == [open_s, open_s - 300, open_s - 600]


def test_stale_rest_has_the_newest_closed_bucket_as_it_was_at_its_half(exchange: Exchange) -> None:
    open_s = Timeframe.M5.bucket(NOW_S)
    query = {"granularity": "FIVE_MINUTE", "start": open_s - 600, "end": open_s - 300}
    newest, older = exchange.get(CANDLES, **query)["candles"]
    exchange.faults.add(RestStale(fault="rest_stale", seconds=200))
    stale, other = exchange.get(CANDLES, **{**query, "limit": 9})["candles"]
    assert other == older
    assert stale["open"] == newest["open"]
    assert float(stale["volume"]) < float(newest["volume"])
    exchange.clock.set((open_s + 200) * 1000)
    assert exchange.get(CANDLES, **query)["candles"] == [newest, older]


def test_late_rest_may_leave_out_the_open_bucket_too(exchange: Exchange) -> None:
    true = exchange.page()
    exchange.inject("rest_late", seconds=900, shows_open=False)
    assert exchange.page() == true[:6], "of ten the open one, and the three that ended within 900 s"


def test_rest_may_answer_with_few_candles_of_either_end_or_none(exchange: Exchange) -> None:
    true = exchange.page()
    exchange.inject("rest_short", rows=2)
    assert exchange.page() == true[-2:]
    assert exchange.page() == true, "a toll is taken once"
    exchange.inject("rest_short", rows=3, keep="oldest", count=2)
    assert [exchange.page() for _ in range(3)] == [true[:3], true[:3], true]
    exchange.inject("rest_empty")
    assert [exchange.page() for _ in range(2)] == [[], true]


def test_a_fault_of_candles_may_be_of_one_product(exchange: Exchange) -> None:
    other = exchange.page(product="ETH-USD")
    exchange.inject("rest_empty", product="BTC-USD")
    assert exchange.page(product="ETH-USD") == other
    assert exchange.page() == []


def test_rest_may_have_half_of_each_volume(exchange: Exchange) -> None:
    true = exchange.page()
    exchange.inject("rest_half")
    for whole, half in zip(true, exchange.page(), strict=True):
        assert {**half, "volume": ""} == {**whole, "volume": ""}
        assert float(half["volume"]) == pytest.approx(float(whole["volume"]) / 2, abs=1e-8)


def test_rest_may_leave_out_other_candles_in_each_answer(exchange: Exchange) -> None:
    true = exchange.page(200)
    exchange.inject("rest_holes", rate=0.25, count=2)
    first, second = exchange.page(200), exchange.page(200)
    assert first != second
    for answer in (first, second):
        assert all(row in true for row in answer)
        assert 100 < len(answer) < 190


@pytest.mark.parametrize(
    ("kind", "field", "odd"),
    [("zero_low", "low", "0"), ("missing_field", "close", None), ("text", "high", "n/a"), ("exponent", "volume", "E")],
)
def test_rest_may_have_one_odd_row(exchange: Exchange, kind: str, field: str, odd: str | None) -> None:
    true = exchange.page()
    exchange.inject("rest_odd_row", kind=kind, bucket=3)
    page = exchange.page()
    spoiled = page.pop(-4)
    assert page == true[:-4] + true[-3:]
    assert spoiled.get(field) == odd or (odd == "E" and odd in spoiled[field])
    assert odd != "E" or float(spoiled[field]) == float(true[-4][field])
    exchange.inject("rest_odd_row", kind="zero_low", bucket=300, product="BTC-USD")
    assert exchange.page(5)[0]["low"] == "0", "of fewer rows, the oldest"


def test_a_delisted_product_may_have_no_candles_any_more(exchange: Exchange) -> None:
    query = {"granularity": "FIVE_MINUTE"}
    exchange.trade_log.delist_product("BTC-USD", NOW_S * 1000, gone=True)
    assert exchange.reply(CANDLES, **query).status == 404
    exchange.trade_log.list_product("BTC-USD", NOW_S * 1000)
    assert exchange.reply(CANDLES, **query).status == 200


def test_rest_may_be_two_servers_of_which_one_is_late(exchange: Exchange) -> None:
    before = exchange.page()
    exchange.clock.jump(3_600_000)
    true = exchange.page(22)
    exchange.inject("rest_alternate", seconds=3_600)
    answers = [exchange.page(22) for _ in range(4)]
    assert answers[0] == answers[2] == true
    assert answers[1] == answers[3] == before, "as it was then, the bucket that was open included"


def test_a_response_changed_by_a_fault_is_noted_and_not_cached(exchange: Exchange) -> None:
    query = {"granularity": "FIVE_MINUTE"}
    exchange.inject("rest_empty")
    assert exchange.reply(CANDLES, **query).note == "rest_empty"
    assert exchange.reply(CANDLES, **query).note == ""
    exchange.inject("rest_late", seconds=900)
    exchange.clock.jump(1_001)
    assert exchange.reply(CANDLES, **query).note == "rest_late"
    long_ago = {**query, "start": NOW_S - 86_400, "end": NOW_S - 80_000}
    assert exchange.reply(CANDLES, **long_ago).note == "", "nothing of it was changed"
