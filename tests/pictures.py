"""The pictures of the pages in docs/images/: `make pictures`.

They show the simulator's market of seed 7 at one moment, from a real server and a real Redis, in a real browser: the
same pages give the same pictures. `made-from.txt` beside them has a hash of the pages' sources, which a test compares.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.compute.computer import Computer
from app.context import Context
from app.market.candles import CandleState
from app.market.records import EMPTY, RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.storage.changed_ranges import ChangedRange
from app.storage.connection import connect
from app.storage.model import Origin, Write
from app.storage.products import FollowedProduct
from simulator.seeded import SeededMarket
from simulator.trade_log import TradeLog
from tests import filled
from tests.browser import chromium
from tests.redis_server import RedisServer
from tests.serving import serving
from tests.support import PATIENCE_S, ROOT, eventually, free_port

IMAGES = ROOT / "docs" / "images"
MADE_FROM = IMAGES / "made-from.txt"
SOURCES = ("app/web/static/**/*", "app/web/page.py", "app/web/pages.py", "tests/pictures.py")

NOW_S = 1_614_816_000 + 7 * 3600 + 130
BARS = 500
PRODUCTS = 12
TIMEFRAMES = (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)
SHOWN = "SOL-USD"
COLOURS = 256
DESK, PHONE = (1280, 800), (390, 844)
LIVE = '#live[data-state="live"]'

PAGES = (
    ("overview", "/", DESK, '.market [data-heat]'),
    ("product", f"/product/{SHOWN}?timeframe=15m", DESK, '#page[data-ready]'),
    ("overview-phone", "/", PHONE, '.market [data-heat]'),
    ("product-phone", f"/product/{SHOWN}?timeframe=15m", PHONE, '#page[data-ready]'),
)  # fmt: skip
"""Name, path, size, and the selector of what must be there."""


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        market(Path(folder)) as context,
        serving(context) as (url, _),
        chromium() as browser,
    ):
        for name, path, size, selector in PAGES:
            (IMAGES / f"{name}.png").write_bytes(picture(browser, context, url + path, size, selector))
    MADE_FROM.write_text(f"{sources()}\n")


def sources() -> str:
    """A hash of everything that the pages are made of."""
    files = sorted(file for pattern in SOURCES for file in ROOT.glob(pattern) if file.is_file())
    digest = hashlib.sha256()
    for file in files:
        digest.update(b"%s\0%s\0" % (str(file.relative_to(ROOT)).encode(), file.read_bytes()))
    return digest.hexdigest()


@contextmanager
def market(folder: Path) -> Iterator[Context]:
    """An installation that holds the market of the simulator, complete up to `NOW_S`."""
    with RedisServer(folder, free_port()) as server:
        context = Context(Settings(redis_url=server.url, timeframes=TIMEFRAMES), connect(server.url))
        simulated = SeededMarket(7, start_s=NOW_S)
        log = TradeLog(simulated)
        names = [name for name in simulated.products if name.endswith("-USD") and log.is_online(name, NOW_S * 1000)]
        context.products.follow([FollowedProduct(name, name) for name in names[:PRODUCTS]])
        held = {Series("coinbase", n, t): candles(log, n, t) for n in names[:PRODUCTS] for t in TIMEFRAMES}
        context.candles.write([Write(s, r, Origin.given(int(r["start_s"][0]))) for s, r in held.items()])
        for timeframe in TIMEFRAMES:
            newest = [(s, int(r["start_s"][-2])) for s, r in held.items() if s.timeframe is timeframe]
            changed = [ChangedRange(s.product, timeframe, start_s, start_s) for s, start_s in newest]
            Computer(context.candles, context.indicators, "coinbase", (timeframe,)).update(changed, NOW_S)
        yield context
        context.redis.close()


def candles(log: TradeLog, name: str, timeframe: Timeframe) -> Records:
    """The newest `BARS` buckets of a product, the open one included; those without trades carry the last close."""
    step, open_s = timeframe.seconds, timeframe.bucket(NOW_S)
    product, first_s = log.products[name], open_s - (BARS - 1) * step
    rows = {
        row[0]: row[1:] for row in log.candles(name, timeframe, first_s - BARS * step, NOW_S, NOW_S * 1000).tolist()
    }
    close = rows[max((start for start in rows if start <= first_s), default=min(rows))][3]
    records = np.zeros(BARS, RECORD)
    records["start_s"] = np.arange(first_s, open_s + 1, step)
    records["observed_ms"] = NOW_S * 1000
    units, sizes = 10.0**product.price_decimals, 10.0**product.size_decimals
    for record in records:
        row = rows.get(int(record["start_s"]))
        state = CandleState.FORMING if record["start_s"] == open_s else CandleState.CONFIRMED
        record["flags"] = state | (0 if row else EMPTY)
        prices, close = (row[:4], row[3]) if row else ((close,) * 4, close)
        record["open"], record["high"], record["low"], record["close"] = (price / units for price in prices)
        record["volume"] = row[4] / sizes if row else 0.0
    return records


def picture(browser: Any, context: Context, url: str, size: tuple[int, int], selector: str) -> bytes:
    """A PNG of the page with few colours, once it is complete and the state of the data is good."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, device_scale_factor=1.5)
    page.set_default_timeout(PATIENCE_S * 1_000)
    filled.publish_feed(context, NOW_S * 1000)
    page.goto(url)
    page.wait_for_selector(selector)

    def is_ready() -> bool:
        filled.publish_feed(context, NOW_S * 1000)
        return page.locator("#summary.ready").count() == page.locator(LIVE).count() == 1

    eventually(is_ready)
    with Image.open(io.BytesIO(page.screenshot(animations="disabled"))) as image, io.BytesIO() as packed:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
        page.close()
        return packed.getvalue()


if __name__ == "__main__":
    main()
