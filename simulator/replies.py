"""HTTP responses as values, and errors with the exchange's texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

_PUBLIC = {"cache-control": "public, max-age=14400", "x-content-type-options": "nosniff", "cf-cache-status": "MISS"}


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response. `note`: the fault that changed it."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def as_json(content: object, status: int = 200, note: str = "") -> Reply:
    return Reply(status, orjson.dumps(content), "application/json", _PUBLIC, note)


def error(status: int, code: str, detail: str) -> Reply:
    """An error with the exchange's text."""
    return as_json({"error": code, "error_details": detail, "message": detail}, status)


def not_found(product: str) -> Reply:
    return as_json({"error": "NOT_FOUND", "message": f"Product {product} not supported"}, 404)


def unauthorized() -> Reply:
    return Reply(401, b"Unauthorized", "text/plain", {})


def too_many(body: str = "json", retry_after: float | str | None = None) -> Reply:
    """429 with a body of JSON or HTML, or an empty one."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after}"}
    if body == "html":
        return Reply(429, _page("429 Too Many Requests"), "text/html", headers)
    if body == "empty":
        return Reply(429, b"", "text/plain", headers)
    content = orjson.dumps({"errors": [{"id": "rate_limit_exceeded", "message": "Too many requests"}]})
    return Reply(429, content, "application/json", headers)


def bad_gateway() -> Reply:
    return Reply(502, _page("502 Bad Gateway"), "text/html", {})


def _page(title: str) -> bytes:
    """A page of several kilobytes, like those of proxies."""
    return (
        f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1>{'<p>cloud</p>' * 300}".encode()
    )
