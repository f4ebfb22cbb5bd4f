"""The pages in a real browser, from a real server and a real Redis: the displayed data are true."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pytest
import redis

from app.context import Context
from app.market.candles import CandleState, UnifiedCandle
from app.market.records import EMPTY, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage import keys, mismatches
from app.storage.alert_changes import Alert, AlertChange, AlertCursor
from app.storage.connection import connect
from app.storage.forming import FormingFeed
from app.storage.indicators import IndicatorValue
from app.storage.model import Write
from app.storage.products import FollowedProduct
from app.storage.queue import BackfillRequest, Kind, Priority
from tests import filled
from tests.alerting import B0, RULED, fact
from tests.browser import chromium, needs_chromium
from tests.integration.test_web import served
from tests.support import PATIENCE_S, eventually

SAME = "new Promise(done => { const was = location.search; setTimeout(() => done(was === location.search), 1000) })"
"""Whether the address is written: it follows the keys after a pause."""
pytestmark = [
    pytest.mark.integration,
    pytest.mark.long(minutes=1.2),
    needs_chromium,
]

DESK, PHONE = (1280, 800), (390, 844)
OPEN_S, M5 = filled.OPEN_S, Timeframe.M5
SOL = Series("coinbase", "SOL-USD", M5)

Page = Any
Open = Callable[..., Page]

COUNT_PIXELS = """([name, near]) => {
  const probe = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const style = getComputedStyle(document.documentElement);
  probe.fillStyle = style.getPropertyValue("--panel"); probe.fillRect(0, 0, 1, 1);
  probe.fillStyle = style.getPropertyValue(name); probe.fillRect(0, 0, 1, 1);
  const wanted = probe.getImageData(0, 0, 1, 1).data;
  let count = 0;
  for (const canvas of document.querySelectorAll("#chart canvas")) {
    if (!canvas.width || !canvas.height) continue;
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4)
      if (data[i + 3] === 255 && [0, 1, 2].every(c => Math.abs(data[i + c] - wanted[c]) <= near)) count++;
  }
  return count;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Iterator[Context]:  # noqa: ARG001  # empties Redis
    made = Context(filled.settings(redis_url), connect(redis_url))  # one pool for the server's threads
    yield made
    made.redis.close()


@pytest.fixture
def web(context: Context) -> Iterator[httpx.Client]:
    with served(context) as client:
        yield client


@pytest.fixture(scope="module")
def profile(browser: Any) -> Iterator[Any]:
    """One for all pages: the server of each test is another origin, so tests share no state."""
    with browser.new_context() as made:
        made.new_page()  # keeps the processes that the others need
        yield made


def patient(page: Page) -> Page:
    """The page, whose waits have no other limit than those of tests."""
    page.set_default_timeout(PATIENCE_S * 1_000)
    return page


@pytest.fixture
def visit(profile: Any, web: httpx.Client) -> Iterator[Open]:
    """Opens pages; afterwards no console may hold a message, and no other host may have received a request."""
    pages: list[Page] = []
    problems: list[str] = []
    urls: list[str] = []

    def show(path: str, size: tuple[int, int] = DESK, scheme: str = "light") -> Page:
        page = patient(profile.new_page())
        pages.append(page)
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=scheme)
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: urls.append(request.url))
        page.goto(str(web.base_url.join(path)))
        return page

    yield show
    for page in pages:
        page.close()
    assert problems == []
    ours = f"{web.base_url.host}:{web.base_url.port}"
    assert {urlsplit(url).netloc for url in urls if not url.startswith("data:")} <= {ours}


@pytest.fixture
def held(context: Context) -> dict[Series, Records]:
    return filled.fill(context)


LIVE = '#live[data-state="live"]'


def wait_with_feed(context: Context, page: Page, selector: str) -> None:
    """A feed is stale after 15 s, and a busy machine takes longer to load a page."""

    def is_there() -> bool:
        filled.publish_feed(context)
        return page.locator(selector).count() == 1

    eventually(is_there)


def text(page: Page, selector: str) -> str:
    return str(page.locator(selector).first.inner_text())


def query_of(page: Page) -> dict[str, list[str]]:
    """The query of the page's address; from the browser, because `page.url` may be older."""
    return parse_qs(page.evaluate("location.search.slice(1)"))


def products(page: Page) -> list[str]:
    return list(page.locator(".market tbody th a").all_inner_texts())


def bar(start_s: int, close: float, state: CandleState = CandleState.CLOSED, *, later_ms: int = 1) -> Records:
    """One candle of 5m, observed `later_ms` after the stored one."""
    record = filled.forming(start_s)
    record["flags"], record["close"], record["high"] = state, close, max(103.0, close)
    record["observed_ms"] += later_ms
    return record


def chart(page: Page, timeframe: str = "5m") -> None:
    page.wait_for_selector(f'#page[data-ready="{timeframe}"]')


def pixels(page: Page, name: str, near: int = 2) -> int:
    """How many pixels of the chart have a colour of the style sheet, on its background."""
    return int(page.evaluate(COUNT_PIXELS, [name, near]))


# Overview


def test_the_overview_shows_every_product_with_its_heat(
    visit: Open, context: Context, held: dict[Series, Records]
) -> None:
    page = visit("/")
    page.wait_for_selector(".market tbody th a")
    assert products(page) == ["BTC-USD", "BTC-USDC", "GONE-USD", "SOL-USD"]
    row = page.locator('tr[data-product="BTC-USD"]')
    day_ago = held[Series("coinbase", "BTC-USD", M5)]["open"][-288]
    assert row.locator(".col-price").inner_text() == "101.00"
    assert row.locator(".col-change").inner_text().replace("−", "-") == f"{(101 / day_ago - 1) * 100:+.2f} %"
    assert row.locator(".col-age").inner_text() == "2 m 10 s"
    for cell, timeframe in zip(row.locator(".heat").all(), filled.TIMEFRAMES, strict=True):
        (value,) = context.indicators.read_many([Series("coinbase", "BTC-USD", timeframe)])
        assert value is not None
        macdv, stage = cell.inner_text().replace("−", "-").split("\n")
        assert (int(macdv), stage) == (pytest.approx(value.data["macdv"], abs=0.51), value.data["stage"])
        assert float(macdv) * float(cell.get_attribute("data-heat") or "nan") >= 0
    assert page.locator('tr[data-product="GONE-USD"]').get_attribute("title").startswith("Refused by the exchange")

    wait_with_feed(context, page, "#summary.ready")
    assert text(page, "#summary") == "All 3 products complete and current (1 product is refused by the exchange)"
    assert text(page, "#clock") == "2021-03-04 07:02:10 UTC"


@pytest.mark.usefixtures("held")
def test_search_and_sort_are_in_the_link(visit: Open) -> None:
    page = visit("/")
    page.wait_for_selector(".market tbody th a")
    page.keyboard.press("/")
    page.keyboard.type("btc")
    eventually(lambda: products(page) == ["BTC-USD", "BTC-USDC"])
    assert text(page, "#found") == "2 of 4 products"
    page.get_by_role("button", name="Price").click()
    assert query_of(page) == {"q": ["btc"], "sort": ["-price"]}
    prices = [float(p) for p in page.locator(".market tbody .col-price").all_inner_texts()]
    assert prices == sorted(prices, reverse=True)
    page.get_by_role("button", name="Price").click()
    again = visit(f"/?{page.evaluate('location.search.slice(1)')}")
    again.wait_for_selector(".market tbody th a")
    assert again.locator('th[aria-sort="ascending"]').inner_text().startswith("Price")
    assert products(again) == products(page)
    page.fill("#search", "nothing like it")
    eventually(lambda: page.get_by_text("No product matches the search.").is_visible())


@pytest.mark.usefixtures("held")
def test_the_overview_can_be_used_with_the_keyboard(visit: Open) -> None:
    page = visit("/")
    page.locator(".market tbody th a").first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/product/SOL-USD")
    chart(page)


def many(context: Context, count: int) -> list[str]:
    """`count` products in all timeframes, with the data that an overview reads."""
    names = [f"P{number:03}-USD" for number in range(count)]
    timeframes = context.settings.timeframes
    context.products.follow(FollowedProduct(name, name) for name in names)
    candles = [
        Write(Series("coinbase", n, M5), np.concatenate([filled.walk(OPEN_S - 86_400, 1, 300), bar(OPEN_S, 80.0 + i)]))
        for i, n in enumerate(names)
    ]
    context.candles.write(candles, announce=False)
    random = np.random.default_rng(3)
    for timeframe in timeframes:
        start_s = timeframe.last_over(filled.NOW_S)
        values = {"start": start_s, "close": 100.0, "ready": True, "candles": 500, "stage": "rallying"}
        context.indicators.write(
            IndicatorValue(Series("coinbase", n, timeframe), 1, start_s, {**values, "macdv": random.normal(0, 90)})
            for n in names
        )
    filled.publish_feed(context)
    return names


def test_of_seven_hundred_products_only_those_in_sight_are_drawn(
    context: Context, redis_url: str, profile: Any
) -> None:
    context.settings = Settings(redis_url=redis_url, coinbase={"products": ("BTC-USD",)})
    names = many(context, 700)
    with served(context) as web:
        page = profile.new_page()
        page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
        page.goto(str(web.base_url))
        page.wait_for_selector(".market tbody th a")
        assert text(page, "#found") == "700 products"
        assert page.locator(".market tbody tr").count() < 60
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        eventually(lambda: products(page)[-1:] == names[-1:])
        assert page.locator(".market tbody tr").count() < 60
        page.fill("#search", "P35")
        eventually(lambda: products(page) == names[350:360])
        page.close()


# Product


def test_the_chart_shows_all_that_is_known_of_a_bucket(visit: Open, held: dict[Series, Records]) -> None:
    page = visit("/product/SOL-USD")
    chart(page)
    newest = held[SOL][-1]
    shown = text(page, "#readout")
    assert "2021-03-04 06:55 UTC" in shown
    assert f"{newest['close']:.3f}"[:5] in shown
    assert "confirmed" in shown
    assert text(page, "#gaps") == "No gaps"
    for name in ("--candle-up", "--candle-down", "--macdv", "--signal", "--candle-empty"):
        assert pixels(page, name) > 10, name
    assert pixels(page, "--corrected") == 0
    box = page.locator("#chart").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    eventually(lambda: "06:55" not in text(page, "#readout"))
    lines = set()
    for x in range(40):  # every ninth bucket had no trades
        page.mouse.move(box["x"] + box["width"] / 2 + 4 * x, box["y"] + 100)
        lines |= set(text(page, "#readout").split("\n"))
    assert {"confirmed", "no trades"} <= lines


def test_timeframes_are_tabs_with_links(visit: Open, held: dict[Series, Records]) -> None:
    page = visit("/product/SOL-USD?timeframe=1h")
    chart(page, "1h")
    assert page.get_by_role("tab", selected=True).inner_text() == "1h"
    newest = held[Series("coinbase", "SOL-USD", Timeframe.H1)][-1]
    page.get_by_role("tab", name="5m").click()
    chart(page)
    assert query_of(page)["timeframe"] == ["5m"]
    page.keyboard.press("ArrowRight")
    chart(page, "1h")
    page.go_back()
    chart(page)
    page.go_back()
    chart(page, "1h")
    assert f"MACD-V rests on {500} candles" in text(page, "#rests")
    assert newest["start_s"] == Timeframe.H1.last_over(filled.NOW_S)


@pytest.mark.usefixtures("held")
def test_the_view_is_in_the_link(visit: Open) -> None:
    page = visit("/product/SOL-USD")
    chart(page)
    page.locator("#chart").focus()
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")
    query = eventually(lambda: q if page.evaluate(SAME) and "from" in (q := query_of(page)) else None)
    again = visit(f"/product/SOL-USD?{page.evaluate('location.search.slice(1)')}")
    chart(again)
    again.mouse.move(640, 400)
    page.mouse.move(640, 400)
    assert eventually(lambda: text(again, "#readout") == text(page, "#readout"))
    assert int(query["to"][0]) < OPEN_S
    page.get_by_role("button", name="To the newest candle").click()
    eventually(lambda: "from" not in query_of(page))


@pytest.mark.usefixtures("held")
def test_older_candles_load_when_the_reader_scrolls_back(visit: Open) -> None:
    page = visit("/product/SOL-USD")
    chart(page)
    page.locator("#chart").focus()

    def first_seen() -> int:
        page.keyboard.press("ArrowLeft")
        return int(query_of(page).get("from", ["0"])[0]) or OPEN_S

    eventually(lambda: first_seen() < OPEN_S - 590 * 300)  # the page began with 500


@pytest.mark.usefixtures("held")
def test_a_close_is_seen_at_once(visit: Open, context: Context) -> None:
    product, overview = visit("/product/SOL-USD"), visit("/")
    chart(product)
    wait_with_feed(context, product, LIVE)
    wait_with_feed(context, overview, LIVE)
    context.candles.write([Write(SOL, bar(OPEN_S, 111.25))])
    cell = overview.locator('tr[data-product="SOL-USD"] .col-price')
    eventually(lambda: "111.25" in text(product, "#readout") and "07:00" in text(product, "#readout"))
    eventually(lambda: cell.inner_text() == "111.25")
    assert "closed" in text(product, "#readout")


@pytest.mark.usefixtures("held")
def test_a_view_of_the_newest_candle_follows_it(visit: Open, context: Context) -> None:
    page = visit("/product/SOL-USD")
    chart(page)
    for number in range(12):
        context.candles.write([Write(SOL, bar(OPEN_S + 300 * number, 100.0 + number))])
        filled.publish_feed(context, (OPEN_S + 300 * number + 300) * 1000)
        eventually(lambda n=number: f"{100 + n:.2f}" in text(page, "#readout"))
    box = page.locator("#chart").bounding_box()
    seen = set()
    for x in range(60):
        page.mouse.move(box["x"] + box["width"] - 70 - 4 * x, box["y"] + 100)
        seen.add(text(page, "#readout").split(" UTC")[0])
    assert {f"2021-03-04 07:{5 * n:02}" for n in range(4, 12)} <= seen
    assert "from" not in query_of(page)


@pytest.mark.usefixtures("held")
def test_the_forming_candle_moves(visit: Open, context: Context) -> None:
    five, hour = visit("/product/SOL-USD"), visit("/product/SOL-USD?timeframe=1h")
    chart(five)
    chart(hour, "1h")
    wait_with_feed(context, five, LIVE)
    wait_with_feed(context, hour, LIVE)
    for close in (100.5, 104.75, 98.25):
        candle = UnifiedCandle(
            exchange="coinbase", product="SOL-USD", timeframe=M5, start_s=OPEN_S,
            open=100.0, high=105.0, low=98.0, close=close, volume=3.0,
        )  # fmt: skip
        FormingFeed(context.redis, "coinbase").publish([candle])
        for page in (five, hour):
            eventually(lambda p=page, c=close: f"C {c:.2f}" in text(p, "#readout").replace("\n", " "))
            assert "forming" in text(page, "#readout")


def test_a_correction_is_redrawn_and_marked(visit: Open, context: Context, held: dict[Series, Records]) -> None:
    page = visit("/product/SOL-USD")
    chart(page)
    wait_with_feed(context, page, LIVE)
    before = text(page, "#page .product-head .dim")
    newest = held[SOL][-1:].copy()
    newest["close"], newest["high"], newest["observed_ms"] = 150.5, 151.0, newest["observed_ms"] + 1
    context.candles.write([Write(SOL, newest)])
    eventually(lambda: "150.50" in text(page, "#readout") and "corrected" in text(page, "#readout"))
    eventually(lambda: pixels(page, "--corrected") > 5)
    eventually(lambda: text(page, "#page .product-head .dim") != before)


def test_a_gap_is_drawn_and_a_late_bar_fills_it(visit: Open, context: Context, held: dict[Series, Records]) -> None:
    missing = OPEN_S + 300
    context.candles.write([Write(SOL, np.concatenate([bar(OPEN_S, 101.0), bar(OPEN_S + 600, 102.0)]))])
    filled.publish_feed(context, (OPEN_S + 900 + 30) * 1000)
    page = visit("/product/SOL-USD")
    chart(page)
    assert text(page, "#gaps") == "1 gap: 2021-03-04 07:05"
    assert pixels(page, "--gap") > 500
    empty = bar(missing, 101.0, CandleState.CONFIRMED)
    empty["flags"] |= EMPTY
    empty["open"] = empty["high"] = empty["low"] = 101.0
    empty["volume"] = 0
    context.candles.write([Write(SOL, empty)])
    eventually(lambda: text(page, "#gaps") == "No gaps")
    assert pixels(page, "--gap") == 0
    assert len(held[SOL]) == 600


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("product", "message"),
    [("NONE-USD", "NONE-USD is not followed here."), ("GONE-USD", "refused by the exchange: the exchange did not")],
)
def test_a_product_without_data_shows_why(visit: Open, product: str, message: str) -> None:
    page = visit(f"/product/{product}")
    eventually(lambda: message in text(page, '[role="alert"]'))


# Health, alerts, frame


@pytest.mark.usefixtures("held")
def test_the_health_page_shows_the_problem(visit: Open, context: Context) -> None:
    pending, failed = (BackfillRequest(Kind.GAP, "SOL-USD", t) for t in filled.TIMEFRAMES)
    context.queue.add([(pending, Priority.GAP), (failed, Priority.GAP)])
    context.queue.fail(failed, "404 unknown product", filled.NOW_S * 1000)
    written = context.candles.write([Write(SOL, bar(OPEN_S - 300, 102.5, CandleState.CONFIRMED))])
    mismatches.record(context.redis, written, cause="reconcile", exchange_ms=filled.NOW_S * 1000)
    context.redis.set(keys.last_run("reconcile", "coinbase"), filled.NOW_S // 3600)
    context.budget.pause(60, "/time: 403: blocked")
    page = visit("/health")
    page.wait_for_selector("#health-redis")
    shown = {
        name: text(page, f"#health-{name}")
        for name in ("feed", "clock", "gaps-and-backfill", "given-up", "queues", "redis")
    }
    assert re.search(r"1\s+\S.* \(2 h 5 m\)\s.*candles 0 s", shown["feed"].replace("\n", " ")), "connected since"
    assert "2021-03-04 07:02:10" in shown["clock"]
    assert "SOL-USD\t5m\tcandles are missing" in shown["gaps-and-backfill"]
    assert "404 unknown product" in shown["given-up"]
    assert "indicators\n0 waiting" in shown["queues"]
    assert "refuses writes (noeviction)" in shown["redis"]
    budget = text(page, "#health-request-budget")
    assert "rate limited or blocked\n1" in budget
    assert "the exchange answered\n/time: 403: blocked" in budget
    reconciliation = text(page, "#health-reconciliation")
    assert "last run (UTC)\n2021-03-04 07:00" in reconciliation
    assert "→ 102.50" in reconciliation
    assert "the exchange did not confirm its subscription" in text(page, "#health-refused-by-the-exchange")


def test_a_start_shows_how_far_it_has_come(visit: Open, context: Context) -> None:
    filled.fill(context)
    for product in ("BTC-USD", "SOL-USD"):
        context.redis.delete(keys.candles(Series("coinbase", product, M5)))
        context.redis.delete(keys.indicator(Series("coinbase", product, M5)))
    page = visit("/")
    page.wait_for_selector("#start:not([hidden])")
    assert text(page, "#start") == "Initial backfill: 1 of 3 products, 2 requests left, about 1 second"
    assert page.locator("#start progress").evaluate("bar => bar.value / bar.max") == pytest.approx(4 / 6)


def test_an_installation_without_products_shows_it(visit: Open) -> None:
    page = visit("/")
    eventually(lambda: "No products are followed yet." in text(page, "#page"))
    eventually(lambda: "no products are followed yet" in text(page, "#summary"))


@pytest.mark.usefixtures("held")
def test_the_alerts_page_without_alerts_shows_it(visit: Open) -> None:
    page = visit("/alerts")
    eventually(lambda: "No alert has been raised yet." in text(page, "#page"))


def raise_alerts(context: Context, numbers: list[int]) -> None:
    """Alerts of SOL-USD 5m for the bars `numbers` before the open one; other alerts of these bars are withdrawn."""
    first_s = OPEN_S - 300 * 100
    facts = [fact((OPEN_S - B0) // 300 - n, SOL) for n in numbers]
    alerts = [Alert(f["id"], f["start"], "-150 down", ("desk",), f) for f in facts]
    if context.indicators.read_cursors([SOL])[0] is None:
        write_change(context, AlertChange(AlertCursor(first_s, first_s, first_s), True, [], RULED, [], []))
    write_change(
        context, AlertChange(AlertCursor(first_s, first_s, first_s), False, [(first_s, OPEN_S)], RULED, alerts, [])
    )


def write_change(context: Context, change: AlertChange) -> None:
    """Write the same indicator once more, with its change of the alerts."""
    (value,) = context.indicators.read_many([SOL])
    assert value is not None
    context.indicators.write([value._replace(revision=value.revision + 1, change=change)], filled.NOW_S)


@pytest.mark.usefixtures("held")
def test_an_alert_is_listed_and_marked_as_soon_as_it_is_raised(visit: Open, context: Context) -> None:
    listed, product = visit("/alerts"), visit("/product/SOL-USD")
    chart(product)
    wait_with_feed(context, listed, LIVE)
    wait_with_feed(context, product, LIVE)
    before = pixels(product, "--warn")
    raise_alerts(context, [5, 9])
    title = "SOL-USD: MACD-V crossed below -150 (5m)"
    eventually(lambda: listed.get_by_text(title).count() == 2)
    eventually(lambda: pixels(product, "--warn") > before + 20)
    raise_alerts(context, [5])
    eventually(lambda: listed.get_by_text("withdrawn after a correction").count() == 1)
    listed.get_by_role("link", name=title).first.click()
    chart(listed)


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/", ".market tbody th a"),
        ("/product/BTC-USD", '#page[data-ready="5m"]'),
        ("/health", "#health-redis"),
        ("/alerts", "h1"),
        ("/docs", "details"),
    ],
)
def test_every_page_fits_a_phone_and_follows_its_theme(visit: Open, path: str, there: str) -> None:
    page = visit(path, PHONE, "light")
    page.wait_for_selector(there)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(set(ids)) == len(ids), "an address with # leads to one place"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    light = page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor")
    page.emulate_media(color_scheme="dark")
    eventually(lambda: page.evaluate("document.documentElement.dataset.theme") == "dark")
    assert page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor") != light


@pytest.mark.usefixtures("held")
def test_the_theme_can_be_switched_and_is_kept(visit: Open) -> None:
    from playwright.sync_api import Error

    page = visit("/product/BTC-USD")
    chart(page)
    light = pixels(page, "--panel", 0)
    page.get_by_role("button", name="Switch between dark and light").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    eventually(lambda: pixels(page, "--panel", 0) > light / 2)
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    with suppress(Error):
        page.evaluate("localStorage.clear()")


@pytest.mark.usefixtures("held")
def test_a_route_can_be_tried_from_its_description(visit: Open) -> None:
    page = visit("/docs")
    form = page.locator('form[data-path="/v1/candles/{product}"]')
    form.get_by_role("button").click()
    eventually(
        lambda: '"product": "BTC-USD"' in page.locator('form[data-path="/v1/candles/{product}"] + pre').inner_text()
    )


@pytest.mark.usefixtures("held")
def test_more_windows_than_a_browser_has_connections_all_work(visit: Open) -> None:
    pages = [visit("/product/SOL-USD" if number % 2 else "/") for number in range(9)]
    for page in pages:
        page.wait_for_selector("#live[data-state]")
        page.reload()

    def states() -> list[str]:
        return [str(page.evaluate("document.body.dataset.live")) for page in pages]

    eventually(lambda: states().count("stream") == 4)
    for page in pages:
        assert page.evaluate("fetch(location.origin + '/v1/products').then(answer => answer.status)") == 200
        assert "cannot be reached" not in page.inner_text("body")
    for page in [page for page, state in zip(pages, states(), strict=True) if state == "stream"]:
        page.goto("about:blank")
    pages[:] = [page for page in pages if page.url != "about:blank"]
    eventually(lambda: states().count("stream") == 4)


def test_an_address_with_a_user_and_a_password_works(browser: Any, context: Context, redis_url: str) -> None:
    filled.fill(context)
    context.settings = filled.settings(redis_url).model_copy(update={"web_token": "a-long-enough-token"})
    with served(context) as web:
        page = patient(browser.new_page())
        page.goto(f"{web.base_url}/product/SOL-USD".replace("://", "://me:a-long-enough-token@"))
        chart(page)
        wait_with_feed(context, page, LIVE)
        page.close()


def test_every_page_works_with_the_token(browser: Any, context: Context, redis_url: str) -> None:
    filled.fill(context)
    context.settings = filled.settings(redis_url).model_copy(update={"web_token": "a-long-enough-token"})
    with served(context) as web:
        assert web.get("/static/app.css").status_code == 401
        known = {"username": "any", "password": "a-long-enough-token", "send": "always"}
        page = patient(browser.new_page(http_credentials=known))
        page.goto(f"{web.base_url}/product/SOL-USD")
        chart(page)
        wait_with_feed(context, page, LIVE)
        page.close()
