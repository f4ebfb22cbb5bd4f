"""The settings as `candlewick config` shows them: each with its value and where it came from, and no secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from app.settings.model import Settings
from app.settings.names import dotted, fields, is_secret, variable
from app.settings.sources import Origin, Place

DEFAULT = Origin("default")
SET = "(set; not shown)"


class Row(NamedTuple):
    """One setting. `variable` is empty if only the file can set it."""

    name: str
    variable: str
    value: str
    origin: Origin


def rows(settings: Settings) -> Iterator[Row]:
    """Every setting; of the alerts those that are set."""
    origins = settings.reading.origins
    for path, field in fields(type(settings)).items():
        value = _value(settings, path)
        shown = _without_secret(plain(value)) if is_secret(field) else plain(value)
        yield Row(dotted(path), variable(path), shown, origins.get(path, DEFAULT))
    table = settings.alerts.model_dump(mode="json", by_alias=True, exclude_unset=True)
    given = [(place, value) for place, value in _leaves(table, ("alerts",)) if place in origins]
    yield from (Row(dotted(place), "", plain(value), origins[place]) for place, value in given)
    if not given:
        yield Row("alerts", "", "built-in rules, delivered to the log", DEFAULT)


def as_json(row: Row) -> dict[str, Any]:
    """A row for programs."""
    name, words, value, origin = row
    source = {"source": origin.source, "name": origin.name or None, "line": origin.line or None}
    return {"setting": name, "variable": words or None, "value": value, **source}


def plain(value: object) -> str:
    """A value as a user would write it."""
    if isinstance(value, list | tuple):
        return ",".join(map(plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def _value(settings: Settings, path: tuple[str, ...]) -> object:
    value: object = settings
    for name in path:
        value = getattr(value, name)
    return value


def _without_secret(value: str) -> str:
    """The scheme and host of a URL without a login; of any other secret only that it is set."""
    if not value or "@" in value:
        return SET if value else ""
    parts = urlsplit(value)
    if parts.scheme == "unix":
        return value.partition("?")[0]
    if not (parts.scheme and parts.hostname):
        return SET
    rest = value.removeprefix(f"{parts.scheme}://{parts.netloc}")
    return value if rest.strip("/0123456789") == "" else f"{parts.scheme}://{parts.netloc}/…"


def _leaves(value: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*place, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, inner in enumerate(value):
            yield from _leaves(inner, (*place, number))
    else:
        yield place, value
