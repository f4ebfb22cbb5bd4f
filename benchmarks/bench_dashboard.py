"""How soon the overview of 700 products is painted: python -m benchmarks.bench_dashboard

Needs Debian's Chromium. Prints milliseconds from navigation to the first rows, median and spread of seven loads.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from playwright import sync_api

from app.cache.connection import connect
from app.context import Context
from app.launch.redis import RedisServer
from app.settings import Settings
from tests.integration.test_dashboard import ARGS, CHROMIUM, DESK, many
from tests.integration.test_web import served
from tests.support import eventually, free_port

PRODUCTS, LOADS = 700, 7
PAINTED = "performance.getEntriesByName('market').map(mark => mark.startTime)"


def main() -> int:
    if CHROMIUM is None:
        print("no browser here: apt install chromium", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder), free_port()) as server:
        context = Context(Settings(redis_url=server.url, products=("BTC-USD",)), connect(server.url))
        many(context, PRODUCTS)
        with served(context) as web, sync_api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            painted = [_load(browser, str(web.base_url)) for _ in range(LOADS)]
            browser.close()
        context.redis.close()
    spread = f"{min(painted):.0f} to {max(painted):.0f}"
    print(f"first rows of {PRODUCTS} products: {statistics.median(painted):.0f} ms ({spread}); to reach 1000")
    return 0


def _load(browser: sync_api.Browser, url: str) -> float:
    page = browser.new_page(viewport={"width": DESK[0], "height": DESK[1]})
    page.goto(url)
    page.wait_for_selector(".market tbody th a")
    marks: list[float] = eventually(lambda: page.evaluate(PAINTED))
    page.close()
    return marks[0]


if __name__ == "__main__":
    raise SystemExit(main())
