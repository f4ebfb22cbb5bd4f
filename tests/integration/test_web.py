"""The API over a real socket, from a real Redis: every route, every error, and an outage of Redis."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import numpy as np
import orjson
import pytest
import redis

from app.context import Context
from app.indicators.macdv import macdv_of
from app.indicators.stages import STAGES
from app.market.records import EMPTY
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys, mismatches
from app.storage.connection import connect
from app.storage.model import Write
from app.storage.queue import BackfillRequest, Kind, Priority
from app.web import app as web_app
from app.web.headers import HEADERS
from app.web.schemas import ErrorAnswer
from tests import filled, plain
from tests.described import answer_of, check
from tests.redis_server import RedisServer
from tests.serving import serving
from tests.support import PATIENCE_S, Process, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.3)]

BTC_5M, BTC_1H = (Series("coinbase", "BTC-USD", t) for t in filled.TIMEFRAMES)


@contextmanager
def served(context: Context) -> Iterator[httpx.Client]:
    """A client of a real server."""
    with serving(context) as (url, _), plain.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, dict[Series, Any]]]:
    """A server of a filled Redis that no test changes, and its data. Its clock grows old."""
    with RedisServer(tmp_path_factory.mktemp("steady"), free_port()) as server:
        made = Context(filled.settings(server.url), connect(server.url))
        held = filled.fill(made)
        with served(made) as client:
            yield client, held
        made.redis.close()


@pytest.fixture(scope="module")
def web(steady: tuple[httpx.Client, dict[Series, Any]]) -> httpx.Client:
    return steady[0]


@pytest.fixture(scope="module")
def held(steady: tuple[httpx.Client, dict[Series, Any]]) -> dict[Series, Any]:
    return steady[1]


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Iterator[Context]:  # noqa: ARG001  # empties Redis
    """An installation of the test's own, empty."""
    made = Context(filled.settings(redis_url), connect(redis_url))  # one pool for the server's threads
    yield made
    made.redis.close()


@pytest.fixture
def own(context: Context) -> Iterator[httpx.Client]:
    """A server of `context`, which has just been filled."""
    filled.fill(context)
    with served(context) as client:
        yield client


def get(web: httpx.Client, path: str, **query: object) -> Any:
    answer = web.get(path, params={k: str(v) for k, v in query.items()})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    check(answer_of(path), answer.content)
    return answer.json()


def refused(web: httpx.Client, status: int, path: str, **query: object) -> dict[str, Any]:
    answer = web.get(path, params={k: str(v) for k, v in query.items()})
    assert answer.status_code == status, answer.text
    check(ErrorAnswer, answer.content)
    return dict(answer.json()["error"])


# Candles


def test_the_newest_candles_come_oldest_first_with_the_forming_one(web: httpx.Client, held: dict[Series, Any]) -> None:
    answer = get(web, "/v1/candles/BTC-USD")
    assert list(answer) == ["product", "timeframe", "candles"]
    assert (answer["product"], answer["timeframe"], len(answer["candles"])) == ("BTC-USD", "5m", 500)
    *closed, last = answer["candles"]
    assert [c["start"] for c in closed] == held[BTC_5M]["start_s"][-499:].tolist()
    for name in ("open", "high", "low", "close", "volume"):
        assert [c[name] for c in closed] == held[BTC_5M][name][-499:].tolist()
    assert {c["state"] for c in closed} == {"confirmed"}
    assert sum(not c["trades"] for c in closed) > 50
    assert last == {
        "start": filled.OPEN_S,
        "open": 100.0,
        "high": 103.0,
        "low": 99.0,
        "close": 101.0,
        "volume": 2.5,
        "trades": True,
        "state": "forming",
        "corrected": False,
        "provisional": False,
    }


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ({"limit": 1}, 0, 0),
        ({"limit": 3}, -2, 0),
        ({"start": -9}, -9, 0),
        ({"start": -9, "limit": 3}, -9, -7),
        ({"start": -9, "end": -4}, -9, -4),
        ({"start": -9, "end": -9}, -9, -9),
        ({"end": -4, "limit": 3}, -6, -4),
        ({"start": -9, "end": -4, "limit": 2}, -9, -8),
        ({"start": -9, "end": 90_000}, -9, 0),
        ({"limit": 100_000}, -600, 0),
        ({"start": -200_000}, -600, 0),
        ({"start": -200_000, "limit": 3}, -600, -598),
        ({"start": -200_000, "end": -599, "limit": 3}, -600, -599),
    ],
)
def test_ranges_are_inclusive_and_count_from_the_open_bucket(
    web: httpx.Client, query: dict[str, int], first: int, last: int
) -> None:
    limits = {k: v if k == "limit" else filled.OPEN_S + 300 * v for k, v in query.items()}
    starts = [c["start"] for c in get(web, "/v1/candles/BTC-USD", **limits)["candles"]]
    assert starts == [filled.OPEN_S + 300 * i for i in range(first, last + 1)]


def test_many_candles_are_sent_as_they_are_made_and_wait_for_a_slow_reader(own: httpx.Client, context: Context) -> None:
    wide = Series("coinbase", "SOL-USD", Timeframe.M5)
    context.candles.reach_back(wide, filled.OPEN_S - 9_990 * 300, filled.OPEN_S)
    many = filled.walk(filled.OPEN_S - 300, 9_990, 300)
    many["observed_ms"] += 1  # newer than the existing ones
    for some in np.split(many, 37):
        context.candles.write([Write(wide, some)], announce=False)
    with own.stream("GET", "/v1/candles/SOL-USD", params={"limit": 10_000}) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        arriving = answer.iter_bytes()
        body = next(arriving)
        assert len(get(own, "/v1/candles/BTC-USD")["candles"]) == 500, "others are answered while this one waits"
        body += b"".join(arriving)
    candles = orjson.loads(body)["candles"]
    assert [c["start"] for c in candles] == many["start_s"].tolist()
    assert [c["close"] for c in candles] == many["close"].tolist()


def test_times_may_be_iso_8601_names_in_lower_case_and_parameters_empty(web: httpx.Client) -> None:
    answer = get(web, "/v1/candles/btc-usd", timeframe="1h", start="2021-03-04T05:00:00Z", end="", limit="")
    assert (answer["product"], [c["start"] for c in answer["candles"]]) == ("BTC-USD", [1_614_834_000, 1_614_837_600])


def test_a_range_in_the_future_is_empty_and_a_gap_is_absent(own: httpx.Client, context: Context) -> None:
    assert get(own, "/v1/candles/SOL-USD", start=filled.OPEN_S + 30_000)["candles"] == []
    sol = Series("coinbase", "SOL-USD", Timeframe.M5)
    context.candles.write([Write(sol, filled.forming(filled.OPEN_S + 300))])
    starts = [c["start"] for c in get(own, "/v1/candles/SOL-USD", limit=2)["candles"]]
    assert starts == [filled.OPEN_S - 300, filled.OPEN_S + 300]
    starts = [c["start"] for c in get(own, "/v1/candles/SOL-USD", start=filled.OPEN_S - 300, limit=2)["candles"]]
    assert starts == [filled.OPEN_S - 300, filled.OPEN_S + 300]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"timeframe": "7m"}, "timeframe: .*'1h'.*got '7m'"),
        ({"timefame": "5m"}, "timefame: no such parameter"),
        ({"limit": 0}, "limit: .*greater than or equal to 1"),
        ({"limit": 100_001}, "limit: .*less than or equal to 100000"),
        ({"limit": "many"}, "limit: .*integer.*'many'"),
        ({"limit": "9" * 5000}, "limit: "),
        ({"start": 301}, "start is 301, which is not the start of a 5m bucket: the nearest are 300 and 600"),
        ({"end": filled.OPEN_S + 1}, "end is .*not the start of a 5m bucket"),
        ({"start": filled.OPEN_S, "end": filled.OPEN_S - 300}, r"start \(.*\) is after end"),
        ({"start": "yesterday"}, "start: 'yesterday' is not a time"),
        ({"start": filled.OPEN_S * 1000}, "start: .*not milliseconds"),
        ({"start": -300}, "start: '-300' is not a time"),
        ({"start": "\x00\ud7ff"}, "start: "),
    ],
)
def test_bad_input_is_refused_with_the_reason(web: httpx.Client, query: dict[str, object], message: str) -> None:
    error = refused(web, 400, "/v1/candles/BTC-USD", **query)
    assert error["code"] == "invalid_input"
    assert re.search(message, error["message"])
    assert len(error["message"]) < 200


@pytest.mark.parametrize("route", ["candles", "indicators"])
@pytest.mark.parametrize(
    ("product", "message"),
    [
        ("BTC-EUR", "BTC-EUR is not followed here; did you mean BTC-USD?"),
        ("ZZZZZZ-GBP", "/v1/products"),
        ("GONE-USD", "the exchange did not confirm its subscription"),
        ("btc", "expected a form like BTC-USD"),
        ("%00%0a<script>", "is not a product"),
        ("X" * 3000, "is not a product"),
    ],
)
def test_an_unknown_product_is_not_found(web: httpx.Client, route: str, product: str, message: str) -> None:
    error = refused(web, 404, f"/v1/{route}/{product}")
    assert message in error["message"]
    assert len(error["message"]) < 200


@pytest.mark.parametrize("route", ["candles", "indicators"])
def test_a_timeframe_that_is_not_kept_is_not_found(web: httpx.Client, route: str) -> None:
    assert refused(web, 404, f"/v1/{route}/BTC-USD", timeframe="30m")["message"].endswith("use one of 5m, 1h")


# Indicators


def test_indicators_are_those_of_the_newest_closed_candles(web: httpx.Client, held: dict[Series, Any]) -> None:
    answer = get(web, "/v1/indicators/BTC-USD", timeframe="1h", limit=500)
    assert list(answer) == ["product", "timeframe", "ready", "candles", "latest", "series"]
    assert (answer["timeframe"], answer["ready"], answer["candles"]) == ("1h", True, 500)
    values = macdv_of(held[BTC_1H][-500:])
    defined = values.macdv == values.macdv
    assert [v["start"] for v in answer["series"]] == values.start_s[defined].tolist()
    assert [v["stage"] for v in answer["series"]] == [STAGES[stage] for stage in values.stages[defined]]
    for name in ("macdv", "signal", "histogram", "fast_ema", "slow_ema", "atr"):
        theirs = [v.get(name, np.nan) for v in answer["series"]]
        np.testing.assert_array_equal(theirs, getattr(values, name)[defined])


def test_latest_is_the_stored_value_with_its_basis(own: httpx.Client, context: Context) -> None:
    answer = get(own, "/v1/indicators/BTC-USD", timeframe="1h", limit=1)
    latest, [newest] = answer["latest"], answer["series"]
    assert {k: latest[k] for k in newest} == newest
    assert (latest["ready"], latest["candles"], latest["state"]) == (True, 500, "confirmed")
    assert latest["error"] >= 0
    assert latest["revision"] == context.candles.read(BTC_1H, newest["start"], newest["start"]).revision


def test_a_hundred_values_by_default(web: httpx.Client) -> None:
    assert len(get(web, "/v1/indicators/BTC-USD")["series"]) == 100


def test_behind_a_gap_there_are_too_few_candles(own: httpx.Client, context: Context) -> None:
    sol = Series("coinbase", "SOL-USD", Timeframe.M5)
    late = filled.walk(filled.OPEN_S + 300 * 60, 59, 300)
    context.candles.write([Write(sol, late)])
    filled.publish_feed(context, int(late["start_s"][-1] + 300) * 1000)
    answer = eventually(lambda: a if (a := get(own, "/v1/indicators/SOL-USD", limit=5))["candles"] == 59 else None)
    assert list(answer) == ["product", "timeframe", "ready", "candles", "latest", "series", "reason"]
    assert (answer["ready"], answer["series"]) == (False, [])
    assert "59" in answer["reason"]


@pytest.mark.parametrize("limit", [0, 501, "x"])
def test_the_limit_of_indicators(web: httpx.Client, limit: object) -> None:
    assert "limit" in refused(web, 400, "/v1/indicators/BTC-USD", limit=limit)["message"]


# Products, status, health


def test_products_show_followed_refused_and_newest(web: httpx.Client) -> None:
    answer = get(web, "/v1/products")
    assert (answer["exchange"], answer["timeframes"]) == ("coinbase", ["5m", "1h"])
    rows = {p["product"]: p for p in answer["products"]}
    assert list(rows) == ["BTC-USD", "BTC-USDC", "GONE-USD", "SOL-USD"]
    assert rows["BTC-USDC"]["source"] == "BTC-USD"
    assert rows["GONE-USD"]["refused"] == "the exchange did not confirm its subscription"
    assert rows["GONE-USD"]["latest"] == {"5m": None, "1h": None}
    newest = get(web, "/v1/indicators/SOL-USD", timeframe="1h", limit=1)["series"][0]
    assert rows["SOL-USD"]["latest"]["1h"] == {
        "ready": True,
        **{k: newest[k] for k in ("start", "macdv", "signal", "histogram", "stage")},
    }


def test_status_of_a_healthy_installation(own: httpx.Client) -> None:
    state = get(own, "/v1/status")
    assert state["summary"] == "All 3 products complete and current (1 product is refused by the exchange)"
    assert (state["ready"], state["reasons"]) == (True, [])
    assert state["feed"]["clock"]["exchange_ms"] == filled.NOW_S * 1000
    [ingest] = state["feed"]["ingests"]
    assert ingest["connections"][0]["silent_ms"] == {"candles": 40}
    assert (state["start"]["series_ready"], state["start"]["series_total"]) == (6, 6)
    series = {(s["product"], s["timeframe"]): s for s in state["series"]}
    assert series["BTC-USD", "1h"] == {
        "product": "BTC-USD",
        "timeframe": "1h",
        "candles": 500,
        "newest": filled.NOW_S // 3600 * 3600 - 3600,
        "age_seconds": 130.0,
        "ready": True,
        "starting": False,
        "stale": False,
        "reason": None,
    }
    assert state["redis"]["policy"] == "noeviction"
    assert state["redis"]["append_only"] is True
    assert state["redis"]["used_bytes"] > 0
    assert set(state["queues"]["waiting"]) == {"indicators", "backfill", "reconcile", "alerts", "default"}
    assert own.get("/readyz").json() == {"ready": True, "summary": state["summary"], "reasons": []}


def test_status_shows_backfills_corrections_budget_and_queues(own: httpx.Client, context: Context) -> None:
    pending, failed = (BackfillRequest(Kind.GAP, "SOL-USD", t) for t in filled.TIMEFRAMES)
    context.queue.add([(pending, Priority.GAP), (failed, Priority.GAP)])
    context.queue.fail(failed, "404 unknown product", filled.NOW_S * 1000)
    context.redis.zrem(keys.backfill("coinbase", "ready"), str(failed))
    corrected = filled.walk(filled.OPEN_S - 300, 1, 300)
    corrected["observed_ms"] += 1
    written = context.candles.write([Write(BTC_5M, corrected)])
    mismatches.record(context.redis, written, cause="reconcile", exchange_ms=filled.NOW_S * 1000)
    permit = context.budget.acquire()
    assert permit
    context.budget.release(permit, answered=False)
    context.budget.pause(300)
    context.redis.rpush("cw:2:celery:indicators", b"{}", b"{}")
    state = eventually(lambda: s if (s := get(own, "/v1/status"))["gaps"]["total"] else None)
    assert state["gaps"]["pending"] == [{"kind": "gap", "product": "SOL-USD", "timeframe": "5m", "priority": "gap"}]
    [failure] = state["gaps"]["failures"]
    assert (failure["timeframe"], failure["reason"]) == ("1h", "404 unknown product")
    assert state["corrections"] == {"total": 1, "by_cause": {"reconcile": {"5m": 1}}}
    assert (state["budget"]["granted"], state["budget"]["throttled"]) == (1, 1)
    assert 0 < state["budget"]["paused_real_seconds"] <= 300
    assert state["queues"]["waiting"]["indicators"] == 2
    assert state["summary"].startswith("2 of 3 products complete and current (")
    answer = get(own, "/v1/corrections")
    assert (answer["reconciled_ms"], answer["scanned_ms"]) == (None, None)
    [correction] = answer["corrections"]
    assert (correction["cause"], correction["product"], correction["timeframe"]) == ("reconcile", "BTC-USD", "5m")
    assert "close" in correction["fields"]


@pytest.mark.parametrize("path", ["/readyz", "/v1/summary"])
def test_an_empty_installation_is_live_but_not_ready(context: Context, path: str) -> None:
    with served(context) as web:
        assert get(web, "/healthz") == {"status": "alive"}
        assert web.get("/readyz").status_code == 503
        assert "no products are followed yet" in web.get(path).text
        assert get(web, "/v1/status")["ready"] is False
        assert get(web, "/v1/products")["products"] == []
        assert get(web, "/v1/overview")["products"] == []
        refused(web, 404, "/v1/candles/BTC-USD")


def test_a_block_by_the_exchange_is_a_reason_not_to_be_ready(context: Context) -> None:
    context.budget.pause(300, "/market/products: 403: the exchange blocks this address")
    with served(context) as web:
        reason = (
            "requests are paused, since the exchange answered /market/products: 403: the exchange blocks this address"
        )
        assert reason in web.get("/readyz").json()["reasons"]
        assert get(web, "/v1/status")["budget"]["pause_reason"].startswith("/market/products: 403")


def test_candles_without_a_clock_are_not_ready(context: Context) -> None:
    filled.fill(context)
    context.redis.delete(keys.clock("coinbase"))
    with served(context) as web:
        error = refused(web, 503, "/v1/candles/BTC-USD")
        assert (error["code"], error["retry_after_s"]) == ("not_ready", 1)
        state = get(web, "/v1/status")
        assert state["reasons"] == ["the exchange's clock has not been received yet"]
        assert state["start"]["series_ready"] == 6


def test_changes_of_readiness_are_logged(
    context: Context, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_app, "STATUS_FOR_S", 0.0)
    caplog.set_level("INFO", "app.web.health")
    filled.fill(context)
    with served(context) as web:
        for turn in range(2):
            assert [web.get("/readyz").status_code for _ in range(2)] == [200, 200]
            if not turn:
                context.redis.config_set("maxmemory-policy", "allkeys-lru")
                assert [web.get("/readyz").status_code for _ in range(2)] == [503, 503]
                context.redis.config_set("maxmemory-policy", "noeviction")
    logged = [r.getMessage() for r in caplog.records if r.name == "app.web.health"]
    assert [line.partition(":")[0] for line in logged] == ["ready", "Not ready", "ready"]


def test_stale_data_is_not_ready(context: Context) -> None:
    filled.fill(context, late=4)
    with served(context) as web:
        answer = web.get("/readyz")
    assert answer.status_code == 503
    late = "6 series are out of date: BTC-USD 5m, BTC-USD 1h, BTC-USDC 5m and 3 more"
    assert f"{late}: no candle since 2021-03-04 06:40:00 UTC" in answer.json()["reasons"]
    assert answer.headers["retry-after"] == "1"


def test_a_series_far_behind_is_still_found(context: Context) -> None:
    filled.fill(context, late=300)
    with served(context) as web:
        [btc] = [s for s in get(web, "/v1/status")["series"] if (s["product"], s["timeframe"]) == ("BTC-USD", "5m")]
    assert (btc["newest"], btc["stale"]) == (filled.OPEN_S - 301 * 300, True)


def test_a_series_with_a_provisional_tail_is_set_apart_with_a_reason(context: Context) -> None:
    """Candles that REST no longer has are marked provisional; a worker computes the newest value again."""
    held, tail_s = filled.fill(context), filled.OPEN_S - 30 * 300
    longest = _longest_silence(held[BTC_5M])
    assert longest < 30
    context.candles.mark_provisional([(BTC_5M, tail_s, filled.OPEN_S - 300)], confirmed=True)
    filled.compute(context, held)
    with served(context) as web:
        latest = get(web, "/v1/indicators/BTC-USD", timeframe="5m", limit=1)["latest"]
        state = get(web, "/v1/status")
    assert latest["provisional"] == 30
    apart = {(s["product"], s["timeframe"]): s["reason"] for s in state["series"] if not s["ready"]}
    assert apart == {("BTC-USD", "5m"): "its newest 30 candles are provisional: waiting for REST to confirm them"}
    assert state["ready"], "one series of six is named, and no more"


def _longest_silence(records: Any) -> int:
    runs = "".join("e" if flags & EMPTY else "t" for flags in records["flags"].tolist()).split("t")
    return max(map(len, runs))


def test_a_start_shows_its_progress(context: Context) -> None:
    filled.fill(context)
    for product in ("BTC-USD", "SOL-USD"):
        context.redis.delete(keys.candles(Series("coinbase", product, Timeframe.M5)))
        context.redis.delete(keys.indicator(Series("coinbase", product, Timeframe.M5)))
    with served(context) as web:
        state = get(web, "/v1/status")
    assert state["start"]["text"] == "1 of 3 products, 2 requests left, about 1 second"
    assert state["summary"] == "Not ready: still starting: 1 of 3 products, 2 requests left, about 1 second"


# Pages and protocol


def test_the_overview_has_price_change_and_newest_value_of_every_product(
    web: httpx.Client, held: dict[Series, Any]
) -> None:
    answer = get(web, "/v1/overview")
    assert answer["exchange_ms"] == filled.NOW_S * 1000
    assert answer["timeframes"] == [{"name": "5m", "seconds": 300}, {"name": "1h", "seconds": 3600}]
    rows = {row["product"]: row for row in answer["products"]}
    assert list(rows) == ["BTC-USD", "BTC-USDC", "GONE-USD", "SOL-USD"]
    btc = held[BTC_5M]
    day_ago = btc["open"][btc["start_s"] == filled.OPEN_S - 86_400]
    assert rows["BTC-USD"]["price"] == 101.0  # of the forming candle
    assert rows["BTC-USD"]["change"] == pytest.approx(101.0 / day_ago[0] - 1)
    assert rows["BTC-USD"]["newest"] == filled.OPEN_S - 300
    newest = get(web, "/v1/indicators/BTC-USD", timeframe="1h", limit=1)["series"][0]
    assert rows["BTC-USD"]["latest"]["1h"] == {k: newest[k] for k in ("start", "macdv", "histogram", "stage")}
    gone = rows["GONE-USD"]
    assert (gone["price"], gone["latest"]) == (None, {"5m": None, "1h": None})
    assert gone["refused"] == "the exchange did not confirm its subscription"


def test_without_recent_candles_the_price_is_that_of_the_indicator(context: Context) -> None:
    held = filled.fill(context, late=9)
    with served(context) as web:
        row = get(web, "/v1/overview")["products"][-1]
    sol = held[Series("coinbase", "SOL-USD", Timeframe.M5)]
    assert (row["price"], row["newest"]) == (sol["close"][-1], sol["start_s"][-1])


def test_the_summary_is_the_status_in_short(own: httpx.Client) -> None:
    short, state = get(own, "/v1/summary"), get(own, "/v1/status")
    assert (short["summary"], short["ready"], short["connected"]) == (state["summary"], True, True)
    assert (short["exchange_ms"], short["start"]) == (filled.NOW_S * 1000, state["start"])


@pytest.mark.parametrize("path", ["/", "/product/BTC-USD", "/health", "/alerts", "/docs"])
def test_a_page_is_a_frame_without_inline_scripts_and_styles(web: httpx.Client, path: str) -> None:
    answer = web.get(path)
    assert answer.status_code == 200
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
    assert re.findall(r"<style|style=|<script(?![^>]* src=)| on\w+=", answer.text) == []
    files = re.findall(r'(?:src|href)="([^"]+/static/[^"]+)"', answer.text)
    assert len(files) > 3
    for file in files:
        loaded = web.get(urljoin(path, file))
        assert (loaded.status_code, loaded.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/static/app.css", "/v1/products", "/v1/candles/NO-USD", "/healthz", "/metrics", "/none"]
)
def test_every_answer_has_the_strict_headers_once(web: httpx.Client, path: str) -> None:
    headers = web.get(path).headers
    assert {name: headers.get_list(name) for name in HEADERS} == {name: [value] for name, value in HEADERS.items()}
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_the_stream_and_the_answer_to_invalid_http_have_them_too(web: httpx.Client) -> None:
    with web.stream("GET", "/v1/stream") as answer:
        assert set(HEADERS.items()) <= {(name, answer.headers.get(name)) for name in HEADERS}
    with socket.create_connection((web.base_url.host, web.base_url.port or 0), timeout=PATIENCE_S) as client:
        client.sendall(b"nonsense\r\n\r\n")
        headers = client.recv(4_096).lower()
    assert all(f"{name}: {value}".lower().encode() in headers for name, value in HEADERS.items())


def test_a_proxy_on_this_machine_is_trusted_and_its_clients_are_counted(context: Context) -> None:
    slow = Context(context.settings.model_copy(update={"web_requests_per_second": 1}), context.redis)
    with served(slow) as web:
        far = {"X-Forwarded-For": "203.0.113.7"}
        statuses = [web.get("/healthz", headers=far).status_code for _ in range(60)]
        assert statuses[0] == 200
        assert 429 in statuses
        assert web.get("/healthz", headers={"X-Forwarded-For": "203.0.113.8"}).status_code == 200
        assert {web.get("/healthz").status_code for _ in range(20)} == {200}
        assert web.post("/v1/status", content=b"x").status_code == 413


def test_a_requested_path_cannot_become_html(web: httpx.Client) -> None:
    assert "<script>alert" not in web.get("/product/<script>alert(1)<").text


def test_the_description_and_its_page_are_served(web: httpx.Client) -> None:
    assert "/v1/candles/{product}" in web.get("/docs").text
    assert web.get("/openapi.json").json()["info"]["title"] == "Candlewick"


def test_an_unknown_route_and_a_wrong_method_have_the_same_shape(web: httpx.Client) -> None:
    assert refused(web, 404, "/v2/candles")["code"] == "not_found"
    answer = web.post("/v1/status")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_small_answers_do_not_wait_for_an_acknowledgement(context: Context) -> None:
    with serving(context) as (url, server), plain.Client(base_url=url) as client:
        get(client, "/healthz")
        (connection,) = server.server_state.connections
        wire = connection.transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), "else Nagle's algorithm delays it by 40 ms"


@pytest.mark.parametrize("endless", [b"GET /healthz?", b"GET /healthz HTTP/1.1\r\nX: ", b"GET /healthz HTTP/1.1\r\n"])
def test_a_request_that_never_ends_its_head_is_cut_off(web: httpx.Client, endless: bytes) -> None:
    more = b"a" * 999 if not endless.endswith(b"1.1\r\n") else b"a: b\r\n" * 150
    with socket.create_connection((web.base_url.host, web.base_url.port), timeout=PATIENCE_S) as client:
        client.sendall(endless)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            client.sendall(more * 10_000)  # ten megabytes
    get(web, "/healthz")


def test_a_long_body_is_not_a_long_head(web: httpx.Client) -> None:
    assert web.post("/healthz", content=b"x" * 300_000).status_code == 413
    assert len(get(web, "/v1/candles/BTC-USD", limit=5)["candles"]) == 5


# Redis down


def test_without_redis_the_process_runs_and_reports_it(tmp_path: Path) -> None:
    with RedisServer(tmp_path, free_port()) as server:
        context = Context(filled.settings(server.url), connect(server.url))
        filled.fill(context)
        with served(context) as web:
            get(web, "/v1/candles/BTC-USD")
            server.kill()
            paths = ("candles/BTC-USD", "indicators/BTC-USD", "products", "overview", "summary", "status")
            for path in ("/readyz", *(f"/v1/{path}" for path in paths)):
                answer = eventually(lambda p=path: a if (a := web.get(p)).status_code == 503 else None)
                assert answer.json()["error"]["code"] == "redis_unavailable"
                assert answer.headers["retry-after"] == "1"
            assert web.get("/").status_code == 200  # and its script shows the error and retries
            assert get(web, "/healthz") == {"status": "alive"}
            server.start()
            eventually(lambda: web.get("/v1/candles/BTC-USD").status_code == 200)
        context.redis.close()


def test_a_hanging_redis_is_an_error_to_every_client(tmp_path: Path) -> None:
    with RedisServer(tmp_path, free_port()) as server:
        context = Context(filled.settings(server.url), connect(server.url))
        filled.fill(context)
        context.redis.close()
        context = Context(context.settings, connect(server.url, timeout_s=0.5))
        with served(context) as web:
            eventually(lambda: web.get("/v1/candles/BTC-USD").status_code == 200)
            os.kill(server.pid, signal.SIGSTOP)
            try:
                with ThreadPoolExecutor(30) as pool:
                    answers = list(pool.map(lambda _: web.get("/v1/candles/BTC-USD"), range(30)))
                assert {a.status_code for a in answers} == {503}
                assert get(web, "/healthz") == {"status": "alive"}
            finally:
                os.kill(server.pid, signal.SIGCONT)
            eventually(lambda: web.get("/v1/candles/BTC-USD").status_code == 200)
        context.redis.close()


# The process


def web_process(processes: Callable[..., Process], redis_url: str, **env: str) -> Process:
    return processes([sys.executable, "-m", "app", "web"], env={"REDIS_URL": redis_url, **env})


def test_the_process_serves_on_the_platforms_port_and_ends_on_sigterm(
    processes: Callable[..., Process], redis_url: str
) -> None:
    port = free_port()
    process = web_process(processes, redis_url, PORT=str(port))
    eventually(lambda: plain.get(f"http://127.0.0.1:{port}/healthz").status_code == 200)
    assert f"Z INFO    web app.web.server: serving on http://127.0.0.1:{port}\n" in process.output()
    assert process.stop() == 0
    assert "Traceback" not in process.output()


def test_a_taken_port_is_one_clear_line(processes: Callable[..., Process], redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        process = web_process(processes, redis_url, CANDLEWICK_WEB_PORT=str(other.getsockname()[1]))
        assert process.wait() == 2
    [line] = process.output().splitlines()
    assert "Address already in use" in line
    assert "CANDLEWICK_WEB_PORT" in line
