"""For any request, no response of the API is a server error, and each matches the API's own description.

`make fuzz` sends more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from app.context import Context
from tests import filled
from tests.described import DESCRIPTION
from tests.redis_server import RedisServer
from tests.serving import serving

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("api fuzz")]  # one server for all

EXAMPLES = settings.default.max_examples // 5
"""Requests to each route that follow its description, and as many that do not."""

MAX_CHARACTERS = 60_000
"""Characters of a URL; slightly more, and the server refuses the request head."""

ENDLESS = "/v1/stream"
WITH_PARAMETERS = [path for path, methods in DESCRIPTION["paths"].items() if methods["get"].get("parameters")]

bounded = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


class Api:
    """A server with data, and its description."""

    def __init__(self, context: Context, url: str) -> None:
        self._context = context
        self._schema = schemathesis.openapi.from_url(f"{url}/openapi.json")

    def send_some(self, path: str, mode: GenerationMode) -> None:
        """Some of all possible requests to `path`."""
        with requests.Session() as session:

            @bounded
            @given(self._schema[path]["GET"].as_strategy(generation_mode=mode))
            def is_answered_as_described(case: Case) -> None:
                filled.publish_feed(self._context)
                answer_of(case, session)

            is_answered_as_described()


def answer_of(case: Case, session: requests.Session) -> None:
    """Send a request and check the response. Of a stream only the beginning is read: it has no end."""
    with session.request(**case.as_transport_kwargs(), stream=case.path == ENDLESS) as answer:
        if case.path == ENDLESS and answer.status_code == 200:
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert next(answer.iter_lines()).startswith(b"retry: ")
        elif len(answer.request.url or "") > MAX_CHARACTERS:
            assert answer.status_code in (200, 400, 404)
        else:
            case.validate_response(answer, excluded_checks=beyond_the_description(answer.request.url or ""))


def beyond_the_description(url: str) -> list[Any]:
    """Errors that a schema cannot describe: valid cursors and bucket starts, and that an empty value counts as none."""
    is_partly_empty = url.endswith("=") or "=&" in url
    return [positive_data_acceptance, *([negative_data_rejection] if is_partly_empty else [])]


@pytest.fixture(scope="module")
def api(redis_server: RedisServer) -> Iterator[Api]:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        context = Context(filled.settings(redis_server.url), client)
        filled.fill(context)
        with serving(context) as (url, _):
            yield Api(context, url)


@pytest.mark.parametrize("path", DESCRIPTION["paths"])
def test_requests_that_follow_the_description(api: Api, path: str) -> None:
    api.send_some(path, GenerationMode.POSITIVE)


@pytest.mark.parametrize("path", WITH_PARAMETERS)
def test_requests_that_do_not(api: Api, path: str) -> None:
    api.send_some(path, GenerationMode.NEGATIVE)
