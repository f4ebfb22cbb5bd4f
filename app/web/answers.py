"""How an answer leaves: JSON straight from plain values, without a model in between."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from app.numbers import plain_json


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`value` as JSON (bytes already are); never to be cached, because the next second may know more."""
    return Response(
        value if isinstance(value, bytes) else plain_json(value),
        status_code=status,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
