"""The OpenAPI description, made once per test process because it takes a moment."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from app.context import Context
from app.settings import Settings
from app.web.app import create_app

APP = create_app(Context(Settings()))
DESCRIPTION: dict[str, Any] = APP.openapi()


@cache
def routes() -> list[APIRoute]:
    contexts = [c for r in APP.routes for c in getattr(r, "effective_route_contexts", list)()]
    return [r for r in (*APP.routes, *(c.original_route for c in contexts)) if isinstance(r, APIRoute)]


def answer_of(path: str) -> Any:
    """The type of a JSON answer of `path`."""
    return next(r.responses[200]["model"] for r in routes() if r.path_regex.fullmatch(path) and 200 in r.responses)


def check(kind: Any, body: bytes) -> None:
    """Fails if `body` is not the JSON of exactly this type: no field more, no field less."""
    adapter = TypeAdapter(kind)
    found = adapter.validate_json(body, strict=True)
    assert adapter.dump_python(found, mode="json", exclude_unset=True) == json.loads(body)
