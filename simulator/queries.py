"""The parameters of a request, and the errors of invalid ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Query: TypeAlias = Mapping[str, Sequence[str]]
"""All values by parameter."""


class BadRequest(Exception):
    """The exchange returns 400 with this detail."""


class Internal(Exception):
    """The exchange returns 500 with this text."""


def one(query: Query, name: str, default: str) -> str:
    """The first value of a parameter."""
    return query[name][0] if query.get(name) else default


def whole(query: Query, name: str, default: int) -> int:
    """A whole number; raises `BadRequest`."""
    text = one(query, name, "")
    if not text:
        return default
    if not text.lstrip("-").isdecimal() or len(text) > 15:
        raise BadRequest(f"{name} argument is invalid")
    return int(text)
