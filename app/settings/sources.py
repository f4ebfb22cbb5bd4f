"""Where values of settings come from: variables, `.env`, a folder of secrets, candlewick.toml. Judges no value."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, NamedTuple, TypeAlias

from dotenv.parser import parse_stream
from pydantic_settings import BaseSettings, EnvSettingsSource

from app.errors import InvalidInput
from app.settings.names import (
    CONFIG,
    PLATFORM_NAMES,
    PREFIX,
    Path,
    dotted,
    fields,
    is_injected,
    is_secret,
    path_of,
    unknown_variable,
    variable,
)
from app.settings.secrets import FILE, read_secret
from app.util.files import read_text
from app.util.quoting import MAX_NAME, path_shown, readable
from app.util.toml_lines import lines_of, parse

ENVIRONMENT, DOTENV, TOML = "environment", ".env", "candlewick.toml"


class Origin(NamedTuple):
    """Where a value came from. `source`: a file, or "environment". `name`: how the setting is called there."""

    source: str
    name: str = ""
    line: int = 0

    def __str__(self) -> str:
        if self.line:
            return f"{self.source} line {self.line}"
        return f"{self.source} ({self.name})" if self.source == ENVIRONMENT else self.source

    @property
    def place(self) -> str:
        """The beginning of an error about the value."""
        file = f"{self.source}, line {self.line}" if self.line else self.source
        return ": ".join(part for part in (file if file != ENVIRONMENT else "", readable(self.name, MAX_NAME)) if part)


class Problem(NamedTuple):
    """What is wrong, and with the value of which origin."""

    origin: Origin
    why: str

    def __str__(self) -> str:
        return f"{self.origin.place}: {self.why}"


Place: TypeAlias = tuple[str | int, ...]
"""Keys and numbers that lead to a value."""


class Source(NamedTuple):
    """What one source says. `values`: nested; `origins`: of each value, by its path."""

    values: dict[str, Any]
    origins: dict[Place, Origin]
    problems: list[Problem]
    ignored: list[str]


class Variable(NamedTuple):
    value: str
    origin: Origin


class _Variables(EnvSettingsSource):
    """Named values as pydantic-settings reads them: a prefix, and `__` before the keys of a section."""

    def __init__(self, settings: type[BaseSettings], values: Mapping[str, str]) -> None:
        self._values = values
        super().__init__(settings)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._values.items()}


def of_environment(environ: Mapping[str, str]) -> dict[str, Variable]:
    return {name: Variable(value, Origin(ENVIRONMENT, name)) for name, value in environ.items()}


def of_platform(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """The settings that hosting platforms set by names of their own."""
    found = ((ours, variables[theirs]) for theirs, ours in PLATFORM_NAMES.items() if theirs in variables)
    return {ours: value for ours, value in found if not is_injected(value.origin.name, value.value.strip())}


def of_dotenv() -> tuple[dict[str, Variable], list[Problem]]:
    """The variables of `.env` in the working folder."""
    if not FilePath(DOTENV).exists():
        return {}, []
    try:
        text = read_text(DOTENV)
    except InvalidInput as error:
        return {}, [Problem(Origin(DOTENV), str(error))]
    found, problems = {}, []
    for binding in parse_stream(io.StringIO(text)):
        line = binding.original.line + len(binding.original.string) - len(binding.original.string.lstrip("\n"))
        if binding.error:
            problems.append(Problem(Origin(DOTENV, "", line), "must be NAME=value"))
        elif binding.key and binding.value is not None:
            found[binding.key] = Variable(binding.value, Origin(DOTENV, binding.key, line))
    return found, problems


def of_folder(folder: str) -> tuple[dict[str, Variable], list[Problem]]:
    """The variables in the files of a folder of secrets that have the names of settings, in any case."""
    found, problems = {}, []
    try:
        files = sorted(path for path in FilePath(folder).iterdir() if path.name.upper().startswith(PREFIX))
    except (OSError, ValueError):
        origin = Origin(path_shown(folder), f"{PREFIX}SECRETS_FOLDER")
        return {}, [Problem(origin, "is not a folder that can be read")]
    for path in files:
        origin = Origin(path_shown(str(path)), path.name.upper())
        try:
            found[path.name.upper()] = Variable(read_secret(str(path)), origin)
        except InvalidInput as error:
            problems.append(Problem(origin, str(error)))
    return found, problems


def source_of(settings: type[BaseSettings], variables: Mapping[str, Variable]) -> Source:
    """The settings among `variables`. Only names with our prefix are judged."""
    known = fields(settings)
    source = Source({}, {}, [], [])
    values: dict[Path, str] = {}
    for name, (raw, origin) in variables.items():
        value, path = raw.strip(), path_of(name)
        if not name.upper().startswith(PREFIX) or name == CONFIG:
            continue
        if is_injected(name, value):
            source.ignored.append(name)
        elif path in known and name == variable(path):
            if value:
                values[path], source.origins[path] = value, origin
        elif name.endswith(FILE) and is_secret(known.get(path := path_of(name.removesuffix(FILE)))):
            try:
                if value:
                    values[path], source.origins[path] = read_secret(value), Origin(path_shown(value), name)
            except InvalidInput as error:
                source.problems.append(Problem(origin, str(error)))
        else:
            source.problems.append(Problem(origin, unknown_variable(settings, name)))
    source.values.update(_Variables(settings, {variable(path): value for path, value in values.items()})())
    return source


def of_toml(settings: type[BaseSettings], path: str, *, is_named: bool) -> Source:
    """The file of settings. It may be missing, unless a variable names it."""
    if not is_named and not FilePath(path).exists():
        return Source({}, {}, [], [])
    file = path_shown(path)
    try:
        text = read_text(path)
    except InvalidInput as error:
        return Source({}, {}, [Problem(Origin(ENVIRONMENT, CONFIG if is_named else TOML), str(error))], [])
    try:
        table = parse(text)
    except InvalidInput as error:
        line, _, why = str(error).partition(": ")
        return Source({}, {}, [Problem(Origin(file, "", int(line.removeprefix("line "))), why)], [])
    origins = {place: Origin(file, dotted(place), line) for place, line in lines_of(text).items()}
    source = Source(table, origins, [], [])
    for place, around in list(_values(table)):
        _settle(settings, source, place, around)
    return source


def _settle(settings: type[BaseSettings], source: Source, place: tuple[str, ...], around: dict[str, Any]) -> None:
    """Replace the name of a file of a secret, in the table `around`, by the secret."""
    known, key = fields(settings), place[-1]
    value, secret, origin = around[key], (*place[:-1], key.removesuffix("_file")), origin_at(source.origins, place)
    if place not in known and is_secret(known.get(secret)):
        del around[key]
        try:
            around[secret[-1]] = read_secret(str(value))
            source.origins[secret] = origin
        except InvalidInput as error:
            source.problems.append(Problem(origin, str(error)))
    elif isinstance(value, str):
        around[key] = value.strip()
    elif isinstance(value, bool) and place in known and known[place].annotation is not bool:
        del around[key]
        source.problems.append(Problem(origin, "must not be true or false"))


def origin_at(origins: Mapping[Place, Origin], place: Place) -> Origin:
    """The origin of the value at `place`, or of the nearest table around it."""
    for length in range(len(place), -1, -1):
        if found := origins.get(place[:length]):
            return found._replace(name=dotted(place)) if found.name == dotted(place[:length]) else found
    return Origin(ENVIRONMENT, dotted(place))


def _values(table: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The place of each value at the top and in the sections, but those of alerts, and the table around it."""
    for key, value in table.items():
        if not isinstance(value, dict):
            yield (key,), table
        elif key != "alerts":
            yield from (((key, inner), value) for inner in value)
