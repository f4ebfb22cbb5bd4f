"""Reads the Procfile: the one list of processes and of how each is started."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from app.errors import InvalidInput

_LINE = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):\s*(\S.*)")
_NOT_SIMPLE = re.compile(r"&&|\|\||[|;&<>`\n]|\$\(|(^|\s)#|^[A-Za-z_]\w*=")


def read(path: Path) -> dict[str, str]:
    """The command of each process, by name, in the order of the file.

    Stricter than the other readers of this format: `InvalidInput` names a line that one of them might read
    differently, or whose command is more than one program with its arguments.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
    commands: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, command = _parse(line, f"{path}:{number}")
        if name in commands:
            raise InvalidInput(f"{path}:{number}: a second process is called {name!r}")
        commands[name] = command
    if not commands:
        raise InvalidInput(f"{path}: names no process")
    return commands


def _parse(line: str, where: str) -> tuple[str, str]:
    match = _LINE.fullmatch(line.rstrip())
    if match is None:
        raise InvalidInput(f"{where}: {line!r} is not `name: command`")
    name, command = match.groups()
    try:
        shlex.split(command)
    except ValueError as error:
        raise InvalidInput(f"{where}: {name}: {error}") from None
    if wrong := _NOT_SIMPLE.search(command):
        raise InvalidInput(
            f"{where}: {name}: a command must be one program with its arguments; "
            f"{wrong.group().strip()!r} is not allowed (to set a variable, write: env NAME=value program)"
        )
    return name, command
