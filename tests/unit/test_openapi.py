"""The description of the API is complete, and its examples match real responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.context import Context
from app.settings import Settings
from app.web.app import create_app
from app.web.openapi import examples
from tests.described import DESCRIPTION, check, routes

OPERATIONS = [(path, o) for path, methods in DESCRIPTION["paths"].items() for o in methods.values()]


MODELS = {a["model"].__name__: a["model"] for route in routes() for a in route.responses.values() if "model" in a}


@pytest.mark.parametrize(("path", "operation"), OPERATIONS, ids=[path for path, _ in OPERATIONS])
def test_every_route_has_a_description_and_an_example(path: str, operation: dict[str, Any]) -> None:
    del path
    assert len(operation["description"]) > 20
    assert operation["tags"][0] in {tag["name"] for tag in DESCRIPTION["tags"]}
    assert "422" not in operation["responses"]
    for parameter in operation.get("parameters", []):
        assert parameter.get("description") or parameter["schema"].get("description"), parameter["name"]
    content = operation["responses"]["200"]["content"]
    for kind, answer in content.items():
        if kind == "application/json":
            schema = DESCRIPTION["components"]["schemas"][answer["schema"]["$ref"].rsplit("/", 1)[-1]]
            assert schema["examples"]
        else:
            assert answer["example"]


@pytest.mark.parametrize("name", examples())
def test_an_example_is_a_complete_response(name: str) -> None:
    check(MODELS[name], json.dumps(examples()[name]).encode())


def test_routes_with_authentication_document_it() -> None:
    assert "security" not in DESCRIPTION
    guarded = create_app(Context(Settings(web_token="sixteen-or-more-characters"))).openapi()
    assert set(guarded["components"]["securitySchemes"]) == {"token", "password"}
    assert guarded["paths"]["/healthz"]["get"]["security"] == []
