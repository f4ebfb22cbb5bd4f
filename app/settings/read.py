"""Reads settings from all sources: the environment, `.env`, a folder of secrets, candlewick.toml; then defaults."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import ValidationError

from app.errors import InvalidInput
from app.settings.names import CONFIG
from app.settings.problems import problem_of, unreadable
from app.settings.secrets import Secrets
from app.settings.sources import (
    TOML,
    Origin,
    Place,
    Problem,
    Source,
    of_dotenv,
    of_environment,
    of_folder,
    of_platform,
    of_toml,
    origin_at,
    source_of,
)

if TYPE_CHECKING:
    from app.settings.model import Settings

S = TypeVar("S", bound="Settings")

MAX_NAMED_PROBLEMS = 10
"""Problems of one file that are reported at once."""


class Reading(NamedTuple):
    """How settings were read. `origins`: of each value that is not a default, and of each table around one. `ignored`:
    variables that a platform made. `file`: path of the file of settings; empty if there is none.
    """

    origins: Mapping[Place, Origin] = {}
    ignored: tuple[str, ...] = ()
    secrets: Secrets = Secrets()
    file: str = ""


def read(cls: type[S], environ: Mapping[str, str] | None = None) -> tuple[S, Reading]:
    """The settings, and how they were read. `environ`: the environment, this process' own by default.

    Raises `InvalidInput` with the problems of all sources.
    """
    sources, secrets, file = _sources(cls, os.environ if environ is None else environ)
    problems = [problem for source in sources for problem in source.problems]
    values: dict[str, Any] = {}
    origins: dict[Place, Origin] = {}
    for source in reversed(sources):
        values = _merged(values, source.values)
        origins |= source.origins
    problems += [Problem(origin_at(origins, place), why) for place, why in unreadable(cls, values)]
    settings, found = _validated(cls, values)
    named = {problem.origin for problem in problems}
    judged = [Problem(origin_at(origins, place), why) for place, why in found]
    problems += [problem for problem in judged if problem.origin not in named]
    if problems or settings is None:
        raise InvalidInput(_listed(problems))
    return settings, Reading(origins, tuple(name for source in sources for name in source.ignored), secrets, file)


def _sources(cls: type[S], environ: Mapping[str, str]) -> tuple[list[Source], Secrets, str]:
    """All sources, in their order: what the first one says wins; named secrets; the path of the file of settings."""
    dotenv, odd = of_dotenv()
    environment = of_environment(environ)
    named = {**dotenv, **environment}
    sources = [source_of(cls, variables) for variables in (environment, dotenv, of_platform(named))]
    sources[1].problems.extend(odd)
    config = named[CONFIG].value.strip() if CONFIG in named else ""
    toml = of_toml(cls, config or TOML, is_named=bool(config))
    folder = str(next((s.values["secrets_folder"] for s in (*sources, toml) if "secrets_folder" in s.values), ""))
    if folder:
        files, odd = of_folder(folder)
        sources.append(source_of(cls, files))
        sources[-1].problems.extend(odd)
    secrets = Secrets({name: value for name, (value, _) in named.items()}, folder)
    return [*sources, toml], secrets, config or (TOML if os.path.exists(TOML) else "")


def _validated(cls: type[S], values: dict[str, Any]) -> tuple[S | None, Iterator[tuple[Place, str]]]:
    """The settings, or None; and what is wrong, with its place."""
    try:
        settings = cls(**values)
    except ValidationError as error:
        return None, (problem_of(cls, one) for one in error.errors(include_url=False))
    return settings, (((("alerts", *place)), why) for place, why in settings.alerts.contradictions())


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            merged[key] = _merged(below[key], above[key])
    return merged


def _listed(problems: list[Problem]) -> str:
    """All problems, one per line; of a file the first ones, in its order."""
    of_lines = sorted({p for p in problems if p.origin.line}, key=lambda p: (p.origin.source, p.origin.line, p))
    others = list(dict.fromkeys(p for p in problems if not p.origin.line))
    return "\n  ".join(["settings are wrong:", *map(str, (*others, *of_lines[:MAX_NAMED_PROBLEMS]))])
