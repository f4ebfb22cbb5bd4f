"""Completes the API's description: an example of every answer, authentication, no answers that are never sent."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI

TAGS = [
    {"name": "data", "description": "Products, candles, indicators, corrections."},
    {"name": "alerts", "description": "Alerts, and the channels that deliver them."},
    {"name": "stream", "description": "Events as they happen."},
    {"name": "health", "description": "Whether the data can be trusted, for people, programs and Prometheus."},
]

SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "CANDLEWICK_WEB_TOKEN, if the server has one."},
    "password": {"type": "http", "scheme": "basic", "description": "The same as a password, with any name."},
}


TOO_OFTEN = {
    "description": "Too many requests from this client; `Retry-After` has the wait in seconds.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
}


@cache
def examples() -> dict[str, Any]:
    """An example of each answer, by the name of its model."""
    return dict(json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8")))


def install(app: FastAPI, *, needs_token: bool) -> None:
    """Make `app.openapi()` return the complete description."""
    made = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(made(), needs_token=needs_token)
        return app.openapi_schema or made()

    app.openapi = complete  # type: ignore[method-assign]


def _complete(description: dict[str, Any], *, needs_token: bool) -> None:
    components = description["components"]
    for name, example in examples().items():
        if name in components["schemas"]:
            components["schemas"][name]["examples"] = [example]
    for methods in description["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)  # invalid requests get a 400
            operation["responses"]["429"] = TOO_OFTEN
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    description["tags"] = TAGS
    if needs_token:
        components["securitySchemes"] = SCHEMES
        description["security"] = [{name: []} for name in SCHEMES]
        description["paths"]["/healthz"]["get"]["security"] = []
