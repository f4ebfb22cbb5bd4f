"""The web pages and the files that they load. Each page is a frame that its ES module fills from the API."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

from app.bind_checks import is_loopback
from app.settings import Settings
from app.web.page import page

STATIC = Path(__file__).parent / "static"

CHART_LIBRARY = "vendor/lightweight-charts.js"

IMPORTED = re.compile(r'^import .* from "\./(.+)";$', re.MULTILINE)

FILE_HEADERS = {"Cache-Control": "no-cache"}

BANNER = (
    '<p id="summary" class="say" role="status">Reading the state of the data …</p>'
    '<div id="start" class="start" hidden><progress></progress><span></span></div>'
    "<noscript>These pages need JavaScript; /v1/status and /v1/overview have the data as JSON.</noscript>"
)


def install(app: FastAPI, settings: Settings) -> None:
    """Add the pages and their files to `app`."""
    app.include_router(_router(app, settings))
    app.mount("/static", _Files(directory=STATIC), name="static")


class _Files(StaticFiles):
    """Files that a browser caches but revalidates each time, so that an upgrade does not leave old ones in use."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update(FILE_HEADERS)
        return answer


def _router(app: FastAPI, settings: Settings) -> APIRouter:
    routes = APIRouter(include_in_schema=False)

    def told() -> dict[str, str]:
        """The available parts of the API: a page never requests a missing one."""
        paths = app.openapi()["paths"]
        known = {"stream": "/v1/stream", "alerts": "/v1/alerts"}
        flower = {
            "flower": str(settings.flower_port),
            "flower-open": "no" if is_loopback(settings.flower_address) else "yes",
        }
        return {**flower, **{n: path for n, path in known.items() if path in paths}}

    def frame(title: str, module: str, data: dict[str, str] | None = None, **options: Any) -> Response:
        main = f'{BANNER}<div id="page"></div>'
        return page(title, main, modules=with_imports(module), data=told() | (data or {}), **options)

    @routes.get("/")
    def overview() -> Response:
        return frame("Candlewick", "overview.js", here="/", asks=["/v1/overview", "/v1/summary"])

    @routes.get("/product/{product}")
    def product(product: str) -> Response:
        title, data = f"{product[:40]} · Candlewick", {"product": product.upper()[:40]}
        return frame(title, "product.js", data, scripts=[CHART_LIBRARY], root="..")

    @routes.get("/health")
    def health() -> Response:
        return frame("Health · Candlewick", "health.js", here="/health")

    @routes.get("/alerts")
    def alerts() -> Response:
        return frame("Alerts · Candlewick", "alerts.js", here="/alerts")

    @routes.get(f"/static/{CHART_LIBRARY}")
    def chart_library() -> Response:
        return FileResponse(_chart_library(), media_type="text/javascript", headers=FILE_HEADERS)

    return routes


@cache
def with_imports(module: str) -> tuple[str, ...]:
    """The module and all that it imports, directly or not."""
    found = [module]
    for name in found:
        imported = IMPORTED.findall((STATIC / name).read_text(encoding="utf-8"))
        found += [other for other in imported if other not in found]
    return tuple(found)


@cache
def _chart_library() -> Path:
    """TradingView's Lightweight Charts, as the package `litecharts` ships it; nothing else of that package is used."""
    return Path(str(distribution("litecharts").locate_file("litecharts/js/lightweight-charts.js")))
