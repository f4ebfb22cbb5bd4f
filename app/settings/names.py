"""Names of settings: as a path in the class, as a variable, and what a name that is none of them may mean. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TypeAlias

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.alerts.settings import KEYS
from app.settings.checks import Secret
from app.settings.exchanges import ExchangeSettings
from app.util.quoting import quoted

PREFIX = "CANDLEWICK_"
CONFIG = f"{PREFIX}CONFIG"
"""Variable that names the file of settings."""
PLATFORM_NAMES = {"PORT": "CANDLEWICK_WEB_PORT", "REDIS_URL": "CANDLEWICK_REDIS_URL"}
"""Variables that hosting platforms set, and ours, which win."""

Path: TypeAlias = tuple[str, ...]

_INJECTED = re.compile(
    r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR|START|END))?)|NAME|ENV_\w+"
)
_WORD = re.compile(r"[\w-]{1,40}")
_SERVICE = re.compile(r"(tcp|udp|sctp)://\S+")


@cache
def fields(settings: type[BaseModel]) -> Mapping[Path, FieldInfo]:
    """Every setting by its path, but those of alerts, which only the file has."""
    return dict(_fields(settings))


def _fields(settings: type[BaseModel]) -> Iterator[tuple[Path, FieldInfo]]:
    for name, field in settings.model_fields.items():
        if field.annotation is ExchangeSettings:
            yield from (((name, part), inner) for part, inner in ExchangeSettings.model_fields.items())
        elif name != "alerts":
            yield (name,), field


def is_secret(field: FieldInfo | None) -> bool:
    return field is not None and any(isinstance(mark, Secret) for mark in field.metadata)


def variable(path: Path) -> str:
    """The environment variable of a setting."""
    return PREFIX + "__".join(path).upper()


def path_of(name: str) -> Path:
    """The path of the setting in variable `name`."""
    return tuple(name[len(PREFIX) :].lower().split("__"))


def dotted(place: tuple[str | int, ...]) -> str:
    """A place in the file, in one word. A key that no setting could have is shown only if it is short."""
    return ".".join(str(part) if _WORD.fullmatch(str(part)) else quoted(str(part)) for part in place)


def is_injected(name: str, value: str) -> bool:
    """Whether a container platform made the variable: Kubernetes and Docker announce each service to all containers, as
    in `CANDLEWICK_WEB_PORT=tcp://10.0.0.1:8000` for a service called candlewick-web.
    """
    words = name.removeprefix(PREFIX)
    is_service = re.fullmatch(r"(\w+_)?PORT", words) is not None and _SERVICE.fullmatch(value) is not None
    return is_service or (words != name and _INJECTED.fullmatch(words) is not None)


def unknown_variable(settings: type[BaseModel], name: str) -> str:
    """Why `name`, which has our prefix, is not a setting."""
    words = name[len(PREFIX) :].upper()
    if words.startswith("ALERTS"):
        return "no such setting; alert rules and channels are in candlewick.toml, in [alerts]"
    known = {variable(path)[len(PREFIX) :]: path for path in fields(settings)}
    of_exchange = [name for name, path in known.items() if path[1:] == (words.lower(),)]
    return f"no such setting{_meant((of_exchange or [words])[0], known, PREFIX)}"


def unknown_key(settings: type[BaseModel], path: tuple[str | int, ...]) -> str:
    """Why the last key of `path` in the file is not a setting."""
    *above, key = path
    if above[:1] == ["alerts"]:
        known = list(KEYS)
    elif above:
        known = list(ExchangeSettings.model_fields)
    else:
        known = list(settings.model_fields)
    return f"no such setting{_meant(str(key), dict.fromkeys(known), '')}"


def _meant(word: str, known: Mapping[str, object], prefix: str) -> str:
    near = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6)
    return f"; did you mean {prefix}{near[0]}?" if near else "; `candlewick config` lists them all"
