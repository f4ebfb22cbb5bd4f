"""The web server below a path of an nginx with TLS, for programs and for a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import redis

from app.context import Context
from app.errors import InvalidInput
from app.storage.connection import connect
from app.web.app import create_app
from tests import filled, plain
from tests.browser import chromium, needs_chromium
from tests.integration.test_stream import add
from tests.nginx import HOST, needs_nginx, proxied
from tests.serving import serving
from tests.support import PATIENCE_S, eventually

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.5), needs_nginx]

ROOT_PATH = "/candlewick"
TOKEN = "a-token-of-22-letters!"
KEPT: dict[str, str] = {}
REMOVED = {"proxy_pass http://127.0.0.1:8000;": "proxy_pass http://127.0.0.1:8000/;"}

Proxy = Callable[..., str]


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Iterator[Context]:
    made = Context(filled.settings(redis_url), redis_client)
    made.redis = connect(redis_url)  # one pool for the server's threads
    filled.fill(made)
    filled.publish_feed(made)
    yield made
    made.redis.close()


@pytest.fixture
def proxy(context: Context, tmp_path: Path) -> Iterator[Proxy]:
    """Starts a server with `settings` behind an nginx with `changes`; the URL of the nginx, with the path."""
    with ExitStack() as stack:

        def start(changes: Mapping[str, str] = KEPT, **settings: object) -> str:
            context.settings = context.settings.model_copy(update={"web_root_path": ROOT_PATH, **settings})
            _, server = stack.enter_context(serving(context))
            port = server.servers[0].sockets[0].getsockname()[1]
            return stack.enter_context(proxied(port, tmp_path, changes)) + ROOT_PATH

        yield start


def next_close(url: str, context: Context, **options: Any) -> str:
    """The data of a close that happens while a client follows the stream: it arrives only if nothing buffers it."""
    with plain.stream("GET", url, **options) as answer:
        assert answer.status_code == 200
        lines = answer.iter_lines()
        assert next(line for line in lines if line.startswith("id: "))
        add(context, [42])
        return next(line for line in lines if line.startswith("data: "))


@pytest.mark.parametrize("changes", [KEPT, REMOVED], ids=["kept", "removed"])
def test_everything_is_below_the_path_whether_the_proxy_keeps_or_removes_it(
    proxy: Proxy, context: Context, changes: dict[str, str]
) -> None:
    url = proxy(changes)
    assert plain.get(f"{url}/v1/products").json()["products"][0]["product"] == "BTC-USD"
    assert plain.get(f"{url}/static/app.css").headers["content-type"].startswith("text/css")
    description = plain.get(f"{url}/openapi.json").json()
    assert description["servers"] == [{"url": ROOT_PATH}]
    assert plain.get(f"{url}/v1/status").json()["summary"]
    assert '"n":42' in next_close(f"{url}/v1/stream", context)
    for path in ("/", "/product/BTC-USD", "/health", "/alerts", "/docs"):
        page = plain.get(url + path)
        linked = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
        assert len(linked) > 10
        for link in linked:
            assert plain.get(urljoin(url + path, link)).status_code == 200, link


@pytest.mark.parametrize("changes", [KEPT, REMOVED], ids=["kept", "removed"])
def test_redirects_stay_below_the_path_and_on_the_host_with_tls(proxy: Proxy, changes: dict[str, str]) -> None:
    url = proxy(changes)
    for path, target in {"": "/", "/v1/products/": "/v1/products", "/product/BTC-USD/": "/product/BTC-USD"}.items():
        answer = plain.get(url + path)
        assert answer.status_code in (301, 307)
        assert urljoin(url, answer.headers["location"]) == url + target


def test_the_server_still_answers_without_the_path(context: Context) -> None:
    """Health checks and Prometheus ask it directly."""
    context.settings = context.settings.model_copy(update={"web_root_path": ROOT_PATH})
    with serving(context) as (url, _):
        assert plain.get(f"{url}/healthz").status_code == plain.get(f"{url}{ROOT_PATH}/healthz").status_code == 200
        assert plain.get(f"{url}{ROOT_PATH}-other/healthz").status_code == 404


def test_the_host_of_the_proxy_must_be_named(proxy: Proxy) -> None:
    foreign = {"Host": HOST}
    url = proxy()
    assert plain.get(f"{url}/v1/products").status_code == 200
    assert plain.get(f"{url}/v1/products", headers=foreign).status_code == 421


def test_a_named_host_is_answered(proxy: Proxy) -> None:
    answer = plain.get(f"{proxy(web_hosts=(HOST,))}/v1/products/", headers={"Host": HOST})
    assert (answer.status_code, answer.headers["location"]) == (307, f"https://{HOST}{ROOT_PATH}/v1/products")


def test_a_token_passes_the_proxy_and_is_in_no_log(proxy: Proxy, context: Context, tmp_path: Path) -> None:
    url = proxy(web_token=TOKEN)
    assert plain.get(f"{url}/healthz").status_code == 200
    assert (plain.get(f"{url}/readyz").status_code in (200, 503), plain.get(f"{url}/readyz").content) == (True, b"")
    assert plain.get(f"{url}/v1/products").status_code == 401
    assert plain.get(f"{url}/v1/products", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert '"n":42' in next_close(f"{url}/v1/stream", context, params={"token": TOKEN})
    log = tmp_path / "access.log"
    eventually(lambda: f"{ROOT_PATH}/v1/stream" in log.read_text())
    assert TOKEN not in log.read_text()
    assert TOKEN not in (tmp_path / "nginx.log").read_text()


def test_a_client_cannot_choose_the_address_by_which_it_is_counted(proxy: Proxy) -> None:
    url = proxy(web_requests_per_second=1.0)
    claimed = [{"X-Forwarded-For": f"203.0.113.{number}"} for number in range(10)]
    assert 429 in {plain.get(f"{url}/v1/products", headers=headers).status_code for headers in claimed}


@pytest.mark.parametrize("root", ["/v1", "/product", "/static/x", "/docs", "/openapi.json", "/health"])
def test_the_path_is_not_one_of_the_server(context: Context, root: str) -> None:
    context.settings = context.settings.model_copy(update={"web_root_path": root})
    with pytest.raises(InvalidInput, match="begins like a path of this server"):
        create_app(context)


def login(token: str) -> dict[str, str] | None:
    return {"username": "anyone", "password": token} if token else None


@needs_chromium
@pytest.mark.parametrize("token", ["", TOKEN], ids=["open", "token"])
@pytest.mark.parametrize("changes", [KEPT, REMOVED], ids=["kept", "removed"])
def test_a_browser_uses_every_page(proxy: Proxy, changes: dict[str, str], token: str) -> None:
    url = proxy(changes, web_token=token)
    problems: list[str] = []
    seen: list[str] = []
    with chromium() as browser, browser.new_context(ignore_https_errors=True, http_credentials=login(token)) as profile:
        page = profile.new_page()
        page.set_default_timeout(PATIENCE_S * 1_000)
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(f"{request.failure}: {request.url}"))
        page.on("response", lambda answer: seen.append(f"{answer.status} {answer.url}"))
        page.goto(f"{url}/")
        page.wait_for_selector('body[data-live="stream"]')
        page.get_by_role("link", name="BTC-USD", exact=True).click()
        page.wait_for_selector('#page[data-ready="5m"]')
        page.wait_for_selector('body[data-live="stream"]')
        assert page.url.startswith(f"{url}/product/BTC-USD")
        for name in ("Alerts", "Health", "Overview"):
            page.get_by_role("navigation").get_by_role("link", name=name).click()
            page.wait_for_selector('body[data-server="there"]')
        page.get_by_role("link", name="API").click()
        page.locator('form[data-path="/v1/products"] button').click()
        page.get_by_text("GET /v1/products 200").wait_for()
    assert [problem for problem in problems if not problem.startswith("net::ERR_ABORTED")] == [], "by leaving a page"
    assert {answer.partition(" ")[0] for answer in seen} <= {"200", "304"}
    assert {answer.partition(" ")[2].startswith(url + "/") for answer in seen} == {True}
