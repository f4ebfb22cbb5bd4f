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
from benchmarks.bench_api import fill
from benchmarks.figures import Figure
from benchmarks.web import web_process
from tests.filled import OPEN_S
from tests.integration.test_dashboard import ARGS, CHROMIUM, DESK
from tests.redis_server import RedisServer
from tests.support import eventually, free_port

LOADS, SCROLLS = 7, 5
UPDATE_S = 0.25
"""Between two updates of every product's forming candle, as an ingest process publishes them."""

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
  return frames.sort((a, b) => a - b)[Math.floor(frames.length / 2)];
}"""


def figures() -> list[Figure]:
    """The figures; none if there is no browser."""
    if CHROMIUM is None:
        print("no browser found: apt install chromium", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), free_port()) as server:
        context = Context(Settings(redis_url=server.url), connect(server.url))
        names = fill(context)
        with web_process(Path(folder), server.url) as (port, _), sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            url = f"http://127.0.0.1:{port}/"
            seen = [_load(browser, url) for _ in range(LOADS)]
            frames = list(_scroll(browser, url, context, names))
            browser.close()
    whats = {"rows": "first screen painted", "all": "all rows", "sentence": "summary sentence"}
    return [
        *(Figure(f"overview of {len(names)} products: {what}", "ms", 1000, [s[key] for s in seen])
          for key, what in whats.items()),
        Figure(f"frame while {len(names)} products scroll and change", "ms", 1000 / 30, frames),
    ]  # fmt: skip


def _load(browser: Any, url: str) -> dict[str, float]:
    """Milliseconds from the start of the navigation, with an empty browser cache."""
    page = browser.new_context(viewport={"width": DESK[0], "height": DESK[1]}).new_page()
    page.add_init_script(f"({WATCH})()")
    page.goto(url)
    seen: dict[str, float] = eventually(lambda: s if len(s := page.evaluate("seen")) == 3 and all(s.values()) else None)
    page.context.close()
    return seen


def _scroll(browser: Any, url: str, context: Context, names: list[str]) -> Iterator[float]:
    """The median frame (ms) of each scroll through all products, while their prices change."""
    page = browser.new_page(viewport={"width": DESK[0], "height": DESK[1]})
    page.goto(url)
    page.wait_for_selector('body[data-live="stream"]')
    with _changing(context, names):
        for _ in range(SCROLLS):
            yield page.evaluate(SCROLL)
    page.close()


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
