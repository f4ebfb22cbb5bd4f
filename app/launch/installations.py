"""Running installations: each launch leaves its state in a file, by which commands find it.

The file is in the data folder of the launch and, by process id, in a folder of the user's that lists all launches.
Only the user can read it. One whose process is gone, or is another one by now, counts for nothing.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Self

from platformdirs import RuntimeDirWarning, user_runtime_path

from app.errors import InvalidInput, Unready
from app.launch import places
from app.launch.plan import ExchangeChoice, Plan
from app.settings import Settings
from app.settings.names import CONFIG, fields, variable
from app.storage.heartbeats import process_start_time

STATE = "installation.json"
MAX_BYTES = 100_000

_PATHS = [path for path in fields(Settings) if path not in (("web_token",), ("flower_basic_auth",))]
"""Settings by which commands read an installation. Secrets of its servers stay out of the file."""
_RECORDED = {CONFIG, *map(variable, _PATHS)}


@dataclass(frozen=True, slots=True)
class Installation:
    """A launch that runs as process `pid`, which began at `started` (`process_start_time`)."""

    name: str
    data: str
    web_url: str
    pid: int
    started: str
    settings: Mapping[str, str]
    """Environment variables with which a command reads this installation."""

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """The launch of `plan`, by this process."""
        pid = os.getpid()
        return cls(plan.market, str(plan.folder), plan.web_url, pid, process_start_time(pid), _variables(plan))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The installation in a state file; None if there is none, if it no longer runs, or if it is not ours."""
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None
                row = json.loads(file.read(MAX_BYTES))
            found = cls(**{**row, "settings": {name: str(row["settings"][name]) for name in row["settings"]}})
            runs = found.started and process_start_time(int(found.pid)) == found.started
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return found if runs and set(found.settings) <= _RECORDED else None

    def __str__(self) -> str:
        return f"{self.name} ({self.web_url}, data in {self.data})"


def _variables(plan: Plan) -> dict[str, str]:
    """All settings of a launch that are not empty: those of the folder of a command must not join them."""
    found: dict[str, str] = {}
    for path in _PATHS:
        value = reduce(getattr, path, plan.settings)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        if text:
            found[variable(path)] = os.path.abspath(text) if path[0] in ("redis_ca_file", "secrets_folder") else text
    return found | {name: value for name, value in plan.environ.items() if name == CONFIG}


@contextmanager
def announced(plan: Plan) -> Iterator[None]:
    """Commands find the launch of `plan`, by this process, while this is open.

    A file that cannot be written is left out: the launch works without.
    """
    content = json.dumps(asdict(Installation.of(plan)), indent=1)
    paths = [plan.folder / STATE]
    with suppress(OSError):
        listed = _listed(ensure_exists=True)
        paths.append(listed / f"{os.getpid()}.json")
        for path in listed.glob("*.json"):
            if Installation.read(path) is None:
                path.unlink(missing_ok=True)
    try:
        for path in paths:
            with suppress(OSError):
                _write(path, content)
        yield
    finally:
        for path in paths:
            with suppress(OSError):
                path.unlink()


def _listed(*, ensure_exists: bool = False) -> Path:
    """The folder that lists all launches of this user. `OSError` if no folder is the user's alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeDirWarning)  # without a login session, it is a temporary folder
        return user_runtime_path("candlewick", appauthor=False, ensure_exists=ensure_exists)


def _write(path: Path, content: str) -> None:
    new = path.with_suffix(f".{os.getpid()}")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    new.replace(path)


def running() -> list[Installation]:
    """All running installations of this user."""
    paths: list[Path] = [places.data_folder(choice) / STATE for choice in ExchangeChoice]
    with suppress(OSError):
        paths += sorted(_listed().glob("*.json"))
    found = {one.data: one for path in paths if (one := Installation.read(path))}
    return list(found.values())


def find(wanted: str | None, folder: Path) -> Installation | None:
    """The installation `wanted`, by name or data folder; else the one of `folder`, else the only one of the user.

    None if nothing is wanted and none runs. Raises `Unready` if the wanted one does not run, and `InvalidInput` if
    several could be meant.
    """
    if wanted and (found := Installation.read(Path(wanted) / STATE)):
        return found
    every = running()
    return choose([one for one in every if one.name == wanted] if wanted else _nearest(every, folder), wanted, every)


def _nearest(every: Iterable[Installation], folder: Path) -> list[Installation]:
    """Those whose data is in `folder`, or in the checkout that this program runs from; else all."""
    here = [place.resolve() for place in (folder, places.root()) if place]
    near = [one for one in every if any(Path(one.data).is_relative_to(place) for place in here)]
    return near or list(every)


def choose(fit: list[Installation], wanted: str | None, every: list[Installation]) -> Installation | None:
    """The only one that fits. Errors as in `find`."""
    if len(fit) == 1:
        return fit[0]
    if fit:
        names = [one.name for one in fit]
        lines = (f"\n  --installation {one.name if names.count(one.name) == 1 else one.data}: {one}" for one in fit)
        raise InvalidInput(f"{len(fit)} installations are running; choose one, or set REDIS_URL:{''.join(lines)}")
    if wanted:
        others = "; ".join(map(str, every)) or "none"
        raise Unready(f"no installation of this user is {wanted!r}, by name or data folder; running: {others}")
    return None
