"""With a token, nothing is served without it; and nothing starts open to other machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from app.context import Context
from client import ApiError, Client
from tests import filled, plain
from tests.integration.test_stream import add, following
from tests.serving import serving
from tests.support import Process, eventually, free_port

pytestmark = pytest.mark.integration

TOKEN = "a token".replace(" ", "-") + "-of-enough-characters"


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Context:
    return Context(filled.settings(redis_url).model_copy(update={"web_token": TOKEN}), redis_client)


@pytest.fixture
def web(context: Context) -> Iterator[str]:
    filled.fill(context)
    with serving(context) as (url, _):
        yield url


def test_every_route_except_healthz_needs_the_token(web: str) -> None:
    paths = [*plain.get(f"{web}/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()["paths"]]
    paths.remove("/readyz")
    for path in [*paths, "/", "/docs", "/openapi.json", "/static/app.css", "/no/such"]:
        answer = plain.get(web + path)
        assert answer.status_code == (200 if path == "/healthz" else 401), path
    assert answer.json()["error"]["code"] == "unauthorized"
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("load", [plain.get, plain.head])
def test_without_a_token_readiness_is_its_status_alone(
    web: str, redis_client: redis.Redis, load: Callable[..., Any]
) -> None:
    assert (load(f"{web}/readyz").status_code, load(f"{web}/readyz").content) == (200, b"")
    redis_client.flushdb()
    eventually(lambda: load(f"{web}/readyz").status_code == 503)
    answer = load(f"{web}/readyz")
    assert (answer.content, answer.headers["content-length"]) == (b"", "0")
    assert load(f"{web}/readyz", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401


def test_healthz_and_readyz_answer_head_like_get(web: str) -> None:
    for path in ("/healthz", "/readyz"):
        head, get = (load(web + path, headers={"Authorization": f"Bearer {TOKEN}"}) for load in (plain.head, plain.get))
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(get.content))


def test_the_token_comes_as_bearer_or_as_a_password(web: str) -> None:
    for headers in ({"Authorization": f"Bearer {TOKEN}"}, {"authorization": f"bearer {TOKEN}"}):
        assert plain.get(f"{web}/v1/products", headers=headers).status_code == 200
    assert plain.get(f"{web}/v1/products", auth=("anybody", TOKEN)).status_code == 200


def test_the_client_sends_its_token_and_no_login_of_a_file(
    web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login somebody password something\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert Client(web, TOKEN).status()["ready"] is True


@pytest.mark.parametrize(
    "value", ["Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Digest {TOKEN}", "Basic !", "Basic YQ==", TOKEN]
)
def test_anything_else_is_refused(web: str, value: str) -> None:
    assert plain.get(f"{web}/v1/products", headers={"Authorization": value}).status_code == 401


def test_only_the_stream_takes_it_from_the_query_and_nothing_repeats_it(web: str) -> None:
    assert plain.get(f"{web}/v1/products", params={"token": TOKEN}).status_code == 401
    with plain.stream("GET", f"{web}/v1/stream", params={"token": TOKEN}) as answer:
        assert answer.status_code == 200
        assert next(answer.iter_bytes()).startswith(b"retry")
    wrong = plain.get(f"{web}/v1/stream", params={"token": TOKEN, "kinds": "nonsense", "x": "y"})
    assert wrong.status_code == 400
    assert TOKEN not in wrong.text


def test_a_client_with_a_wrong_token_gives_up_and_one_with_the_right_one_follows(web: str, context: Context) -> None:
    with pytest.raises(ApiError, match="wrong token"):
        next(Client(web, "wrong").events())
    with following(web, context, token=TOKEN) as follow:
        follower = follow()
        add(context, [1])
        assert follower.has(1)[0].data["n"] == 1


def test_nothing_starts_open_to_other_machines(redis_url: str, processes: Callable[..., Process]) -> None:
    web = processes(
        [sys.executable, "-m", "app", "web"], env={"REDIS_URL": redis_url, "CANDLEWICK_WEB_HOST": "0.0.0.0"}
    )
    flower = processes(
        [sys.executable, "-m", "app", "flower"], env={"REDIS_URL": redis_url, "CANDLEWICK_FLOWER_ADDRESS": "::"}
    )
    assert (web.wait(), flower.wait()) == (2, 2)
    assert web.output().startswith("error: CANDLEWICK_WEB_HOST is '0.0.0.0', which other machines can reach")
    assert flower.output().startswith("error: CANDLEWICK_FLOWER_ADDRESS is '::', which other machines can reach")


def test_flower_requires_its_password(redis_url: str, processes: Callable[..., Process]) -> None:
    port = free_port()
    env = {"REDIS_URL": redis_url, "CANDLEWICK_FLOWER_PORT": str(port), "CANDLEWICK_FLOWER_BASIC_AUTH": "me:password"}
    process = processes([sys.executable, "-m", "app", "flower"], env=env)
    url = f"http://127.0.0.1:{port}/workers"
    assert eventually(lambda: plain.get(url)).status_code == 401
    assert plain.get(url, auth=("me", "password")).status_code == 200
    assert process.stop() == 0
