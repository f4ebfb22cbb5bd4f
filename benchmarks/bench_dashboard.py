"""Load time and scrolling of the overview with 700 products: python -m benchmarks.bench_dashboard

Needs Debian's Chromium, which renders without a graphics card. Redis, a web process and the browser share the machine.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright import sync_api

from app.context import Context
from app.market.candles import UnifiedCandle
from app.market.timeframes import BASE
from app.settings import Settings
from app.storage.connection import connect
from app.storage.forming import FormingFeed
from benchmarks.bench_api import PRODUCTS, fill
from benchmarks.figures import Figure
from benchmarks.web import web_process
from benchmarks.yardstick import alternate
from tests.browser import ARGS, CHROMIUM
from tests.filled import OPEN_S
from tests.integration.test_dashboard import DESK
from tests.redis_server import RedisServer
from tests.support import eventually, free_port

LOADS, SCROLLS = 7, 5
UPDATE_S = 0.25
"""Between two updates of every product's forming candle, as an ingest process publishes them."""

WHATS = {"rows": "first screen painted", "all": "all rows", "sentence": "summary sentence"}
"""What `WATCH` notes, by the name that it has there."""

WATCH = """() => {
  window.seen = {};
  const note = (name, there) => {
    if (name in seen || !there) return;
    seen[name] = null;
    requestAnimationFrame(() => setTimeout(() => { seen[name] = performance.now(); }));  // it has been painted
  };
  new MutationObserver(() => {
    const price = document.querySelector(".market tbody .col-price");
    note("rows", price && /\\d/.test(price.textContent));
    note("all", /^700 products$/.test(document.getElementById("found")?.textContent ?? ""));
    note("sentence", /products|clock|starting/.test(document.getElementById("summary")?.textContent ?? ""));
  }).observe(document, { childList: true, subtree: true, characterData: true });
}"""

UNPACED = ("--disable-gpu-vsync", "--disable-frame-rate-limit")
"""Options of the browser: a frame takes as long as its work, not a multiple of the screen's."""

SCROLL = """async () => {
  const frames = [];
  let last = null;
  scrollTo(0, 0);
  for (let i = 0; i < 100; i++) {
    scrollBy(0, 250);
    const now = await new Promise(requestAnimationFrame);
    if (last !== null) frames.push(now - last);
    last = now;
  }
  return frames.reduce((sum, frame) => sum + frame) / frames.length;
}"""

PLAIN = f"""data:text/html,<table>{("<tr height=36>" + "<td>1234.5" * 10) * PRODUCTS}</table>
<script>requestAnimationFrame(() => setTimeout(() => {{ window.seen = performance.now(); }}))</script>"""


def figures() -> list[Figure]:
    """The figures; none if there is no browser."""
    if CHROMIUM is None:
        print("no browser found: apt install chromium", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), free_port()) as server:
        context = Context(Settings(redis_url=server.url), connect(server.url))
        names = fill(context)
        with web_process(Path(folder), server.url) as (port, _), sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGS, *UNPACED])
            url = f"http://127.0.0.1:{port}/"
            seen, painted = alternate(lambda: _plain(browser, "window.seen"), lambda: _load(browser, url), LOADS)
            frames, plain_frames = alternate(
                lambda: _plain(browser, SCROLL), lambda: _scroll(browser, url, context, names), SCROLLS
            )
            browser.close()
    yardstick = f"a plain page with a table of {len(names)} rows"
    return [
        *(
            Figure(f"overview of {len(names)} products: {what}", "ms", 2, [s[key] for s in seen], yardstick, painted)
            for key, what in WHATS.items()
        ),
        Figure(f"frame while {len(names)} products scroll and change", "ms", 16, frames, yardstick, plain_frames),
    ]


def _load(browser: Any, url: str) -> dict[str, float]:
    """Milliseconds from the start of the navigation, with an empty browser cache."""
    with _page(browser) as page:
        page.add_init_script(f"({WATCH})()")
        page.goto(url)
        seen: dict[str, float] = eventually(
            lambda: s if len(s := page.evaluate("seen")) == len(WHATS) and all(s.values()) else None, timeout=30
        )
        return seen


def _scroll(browser: Any, url: str, context: Context, names: list[str]) -> float:
    """The mean frame (ms) of a scroll through all products, while their prices change."""
    with _page(browser) as page, _changing(context, names):
        page.goto(url)
        page.wait_for_selector('body[data-live="stream"]')
        return float(page.evaluate(SCROLL))


def _plain(browser: Any, script: str) -> float:
    """The result of `script` in the plain page: when (ms) it was painted, or its mean frame."""
    with _page(browser) as page:
        page.goto(PLAIN)
        page.wait_for_function("window.seen")
        return float(page.evaluate(script))


@contextmanager
def _page(browser: Any) -> Iterator[Any]:
    """A page with an empty cache."""
    context = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]})
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def _changing(context: Context, names: list[str]) -> Iterator[None]:
    """Publish every product's forming candle repeatedly."""
    feed, ended = FormingFeed(context.redis, context.exchange), threading.Event()

    def tell() -> None:
        number = 0
        while not ended.wait(UPDATE_S):
            number += 1
            feed.publish([_candle(name, 100 + number % 7 / 10) for name in names])

    thread = threading.Thread(target=tell)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _candle(product: str, close: float) -> UnifiedCandle:
    prices = {"open": 100.0, "high": 101.0, "low": 99.0, "close": close, "volume": 3.0}
    return UnifiedCandle(exchange="coinbase", product=product, timeframe=BASE, start_s=OPEN_S, **prices)


def main() -> int:
    found = figures()
    for figure in found:
        print(figure)
    return 0 if found and all(figure.is_reached for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())
