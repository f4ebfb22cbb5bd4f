"""The pages request nothing from other hosts, show everything, and let no outside text become HTML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.context import Context
from app.settings import Settings
from app.web.app import create_app
from app.web.docs import render
from app.web.page import page
from app.web.pages import STATIC, with_imports


@pytest.fixture(scope="module")
def description() -> dict[str, object]:
    return create_app(Context(Settings())).openapi()


def test_every_route_of_the_api_is_described(description: dict[str, dict[str, object]]) -> None:
    assert set(description["paths"]) == {
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/status",
        "/v1/stream",
        "/v1/summary",
        "/v1/overview",
        "/v1/corrections",
        "/v1/alerts",
        "/v1/alert-channels",
        "/v1/products",
        "/v1/candles/{product}",
        "/v1/indicators/{product}",
    }


def test_the_page_shows_every_route_parameter_and_schema(description: dict[str, dict[str, object]]) -> None:
    html = render(description)
    for path in description["paths"]:
        assert f"<code>{path}</code>" in html
    for name in ("timeframe", "start", "end", "limit", "product"):
        assert f'name="{name}"' in html
    links = set(re.findall(r'href="#(\w+)"', html))
    assert links <= set(re.findall(r'<details id="(\w+)"', html))
    assert {"CandlesAnswer", "IndicatorsAnswer", "ErrorAnswer", "Status"} <= links


def test_no_page_names_another_host(description: dict[str, object]) -> None:
    answer = page("API", render(description))
    assert re.findall(rb"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//[^"')]*""", answer.body) == []


def test_descriptions_cannot_become_html(description: dict[str, dict[str, object]]) -> None:
    hostile = {**description, "info": {"title": "<script>", "version": "1", "description": "<img>"}}
    assert "<script>" not in render(hostile)
    assert "<img>" not in render(hostile)


@pytest.mark.parametrize("module", ["overview.js", "product.js", "health.js", "alerts.js"])
def test_a_page_names_each_module_that_it_imports_once(module: str) -> None:
    modules = with_imports(module)
    imports = {n for name in modules for n in re.findall(r'"\./(\w+\.js)"', (STATIC / name).read_text())}
    assert modules[0] == module
    assert len(modules) == len(set(modules))
    assert set(modules[1:]) == imports


@pytest.mark.parametrize("file", sorted(STATIC.glob("*.js")), ids=lambda file: file.name)
def test_a_module_has_no_mutable_globals(file: Path) -> None:
    assert re.findall(r"^(?:let|var) .*|^const .*= new (?:Map|Set)\(\);?$", file.read_text(), re.MULTILINE) == []
