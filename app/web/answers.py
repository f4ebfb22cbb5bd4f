"""Responses: JSON directly from plain values, without a model in between."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from app.util.numbers import plain_json

JSON = "application/json"
FRESH = {"Cache-Control": "no-store"}
"""Never cached: the data may change within a second."""


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`value` as JSON (bytes already are)."""
    return Response(
        value if isinstance(value, bytes) else plain_json(value),
        status_code=status,
        media_type=JSON,
        headers={**FRESH, **(headers or {})},
    )


def long_answer(value: Mapping[str, Any], name: str) -> Response:
    """`value` as streamed JSON. Its field `name` comes last, in pieces that are made as the client reads."""
    head = plain_json({k: v for k, v in value.items() if k != name})[:-1] + b"," + plain_json(name) + b":"
    return StreamingResponse(chain((head,), value[name], (b"}",)), media_type=JSON, headers=FRESH)
