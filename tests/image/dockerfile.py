"""A Dockerfile as stages and their steps. Pure. Only the instructions that ours uses: any other one is an error."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import NamedTuple

KNOWN = {"RUN", "COPY", "ENV", "WORKDIR", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


class Step(NamedTuple):
    """An instruction. `flags`: its options, such as `{"from": "build"}`; `text`: the rest."""

    name: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The text as words, or as the strings of a JSON list."""
        found = json.loads(self.text) if self.text.startswith("[") else shlex.split(self.text)
        return [str(word) for word in found]


class Stage(NamedTuple):
    base: str
    name: str
    steps: list[Step]


def parse(text: str) -> list[Stage]:
    """The stages in their order. Raises `ValueError` for an instruction that nothing here executes."""
    stages: list[Stage] = []
    for line in _lines(text):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            base, *named = rest.split()
            stages.append(Stage(base, named[1] if named else str(len(stages)), []))
        elif name in KNOWN and stages:
            flags = re.match(r"(?:--[a-z-]+=\S+\s+)*", rest.strip())
            assert flags is not None
            options = dict(flag[2:].split("=", 1) for flag in flags[0].split())
            stages[-1].steps.append(Step(name, options, rest.strip()[flags.end() :]))
        else:
            raise ValueError(f"this runner does not know {line!r}")
    return stages


def _lines(text: str) -> Iterator[str]:
    """Instructions without comments, each on one line."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in kept.replace("\\\n", " ").splitlines():
        if line.strip():
            yield line.strip()


def is_sent(path: PurePosixPath, patterns: Iterable[str]) -> bool:
    """Whether a file of the project is part of the image's context: the last pattern of .dockerignore that matches it,
    or a folder that it is in, decides.
    """
    sent = True
    for pattern in patterns:
        if any(_matches(part, pattern.removeprefix("!")) for part in (path, *path.parents)):
            sent = pattern.startswith("!")
    return sent


def _matches(path: PurePosixPath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(path.name, pattern[3:])
    wanted = PurePosixPath(pattern).parts
    return len(wanted) == len(path.parts) and all(map(fnmatchcase, path.parts, wanted))


def ignore_patterns(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
