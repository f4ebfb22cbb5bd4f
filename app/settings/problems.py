"""What is wrong with a value of a setting, in a sentence without a secret. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from app.alerts.settings import CHANNEL_KINDS, RULE_KINDS
from app.settings.names import fields, is_secret, unknown_key
from app.util.quoting import HIDDEN, path_shown, quoted

MAX_CHARACTERS = 65_536
"""Longest value of a setting."""

PATHS = ("redis_ca_file", "secrets_folder", "launch_redis_server")
"""Settings whose value is a path, which an error must show."""


def unreadable(settings: type[BaseModel], values: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Values that no setting may have: too long, or with invisible characters. They are dropped from `values`."""
    for path, field in fields(settings).items():
        around = values if len(path) == 1 else values.get(path[0])
        if not isinstance(around, dict) or not isinstance(value := around.get(path[-1]), str):
            continue
        if why := _unreadable(value, is_list=get_origin(field.annotation) is tuple):
            del around[path[-1]]
            yield path, why


def _unreadable(text: str, *, is_list: bool) -> str:
    """Why no setting may be `text`; empty if fine. A list may have line ends."""
    if len(text) > MAX_CHARACTERS:
        return f"is longer than {MAX_CHARACTERS} characters"
    odd = next((c for c in text if not (c.isprintable() or (is_list and c.isspace()))), None)
    if odd is not None and unicodedata.category(odd) == "Cs":
        return "contains bytes that are not text"
    return "" if odd is None else f"contains an invisible character ({odd!a})"


def problem_of(settings: type[BaseModel], error: ErrorDetails) -> tuple[tuple[str | int, ...], str]:
    """Place and reason of an error of pydantic, with the wrong value if it may be shown and the reason does not."""
    place, reason = error["loc"], error["msg"].removeprefix("Value error, ")
    if error["type"] in ("model_type", "model_attributes_type") and len(place) == 1:
        return place, f"must be a table: [{place[0]}]"
    if place[0] == "alerts":
        return _problem_of_alerts(settings, error)
    if error["type"] == "extra_forbidden":
        return place, unknown_key(settings, place)
    if "products" in place:
        return place, reason
    return place, f"{reason} (it is {_shown(settings, error)})"


def _shown(settings: type[BaseModel], error: ErrorDetails) -> str:
    """The wrong value as an error may show it."""
    path = tuple(part for part in error["loc"] if isinstance(part, str))
    if path[0] in PATHS:
        return repr(path_shown(str(error["input"])))
    return HIDDEN if is_secret(fields(settings).get(path)) else quoted(str(error["input"]))


def _problem_of_alerts(settings: type[BaseModel], error: ErrorDetails) -> tuple[tuple[str | int, ...], str]:
    """As above. The value is not shown: it may be a secret in the wrong place."""
    place, reason = error["loc"], error["msg"].removeprefix("Value error, ")
    if place[3:4] and place[3] in (*RULE_KINDS, *CHANNEL_KINDS, "[key]"):
        place = place[:3] + place[4:]
    if error["type"] == "extra_forbidden":
        return place, unknown_key(settings, place)
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        known = ", ".join(RULE_KINDS if place[1:2] == ("rule",) else CHANNEL_KINDS)
        is_wrong = error["type"] == "union_tag_invalid"
        return (*place, "kind") if is_wrong else place, f"{'' if is_wrong else 'kind '}must be one of {known}"
    return place, reason
