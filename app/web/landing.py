"""The page at `/`: one sentence on the state of the data, where everything is, and a table of the products."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from fastapi import APIRouter, Response
from redis.exceptions import RedisError

from app.lookup import Lookup
from app.memo import Memo
from app.moments import shown
from app.settings import Settings
from app.status import Status
from app.status.model import SeriesStatus
from app.timeframes import BASE
from app.web.page import page

REFRESH = """
setInterval(async () => {
  try {
    const html = await (await fetch("/", {signal: AbortSignal.timeout(8000)})).text();
    const newer = new DOMParser().parseFromString(html, "text/html").querySelector("main");
    document.querySelector("main").replaceWith(newer);
  } catch {
    document.querySelector(".say").className = "say";
    document.querySelector(".say").textContent = "This page cannot reach its server; it keeps trying.";
  }
}, 2000);
"""


def router(lookup: Lookup, status: Memo[Status], settings: Settings) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    def landing() -> Response:
        try:
            main, code = _main(status.get(), lookup.products()["products"]), 200
        except RedisError:
            main, code = '<p class="say">Redis cannot be read now; this page keeps trying.</p>', 503
        return page("Candlewick", f"{_head(settings)}<main>{main}</main>", script=REFRESH, status=code)

    return routes


def _head(settings: Settings) -> str:
    flower = f"http://127.0.0.1:{settings.flower_port}"
    return (
        "<h1>Candlewick</h1><nav>"
        '<a href="/docs">API</a><a href="/v1/status">Status (JSON)</a><a href="/readyz">Readiness</a>'
        f'<a href="{flower}">Flower: workers and queues</a></nav>'
    )


def _main(status: Status, products: Iterable[dict[str, Any]]) -> str:
    newest = {s.product: s for s in status.series if s.timeframe == BASE}
    rows = "".join(_row(p, newest.get(p["product"])) for p in products)
    return (
        f'<p class="say{" ready" if status.ready else ""}">{escape(status.summary)}</p>'
        f'<p class="dim">{escape(_clock(status))} · {status.gaps.total} requests pending</p>'
        f'<div class="scroll"><table><thead><tr><th>product</th><th>newest {BASE} candle</th><th>age</th>'
        '<th>MACD-V</th><th>signal</th><th class="text">stage</th><th class="text">state</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _clock(status: Status) -> str:
    clock = status.feed.clock
    return f"exchange time {shown(clock.exchange_ms / 1000)} UTC" if clock else "exchange time unknown"


def _row(product: dict[str, Any], series: SeriesStatus | None) -> str:
    name = product["product"]
    latest = product["latest"].get(BASE) or {}
    value = latest.get("macdv")
    colour = "" if value is None else ("up" if value >= 0 else "down")
    cells = [
        f'<td><a href="/v1/candles/{escape(name)}">{escape(name)}</a></td>',
        f"<td>{shown(series.newest) if series and series.newest else '–'}</td>",
        f"<td>{_age(series)}</td>",
        f'<td class="{colour}"><a href="/v1/indicators/{escape(name)}">{_number(value)}</a></td>',
        f"<td>{_number(latest.get('signal'))}</td>",
        f'<td class="text">{escape(str(latest.get("stage") or "–"))}</td>',
        f'<td class="text wrap">{escape(_state(product, series))}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _age(series: SeriesStatus | None) -> str:
    return "–" if series is None or series.age_seconds is None else f"{series.age_seconds:.0f} s"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _state(product: dict[str, Any], series: SeriesStatus | None) -> str:
    if product["refused"]:
        return f"refused: {product['refused']}"
    if series is None:
        return "–"
    return "out of date" if series.stale else (series.reason or "current")
