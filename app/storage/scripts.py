"""Lua scripts from files, called by hash and loaded again after a Redis restart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any, TypeAlias

from redis import Redis
from redis.exceptions import NoScriptError

from app.storage.pipelining import Command, raise_first, send_pipelined

_FOLDER = Path(__file__).with_name("lua")

Call: TypeAlias = tuple[Sequence[str], Sequence[str | bytes | int]]
"""Keys and arguments of a script."""


@cache
def source(name: str) -> str:
    """The text of a script, behind that of the script that its first line names as used."""
    text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    used = re.match(r"-- Uses (\w+)\.lua\n", text)
    return (_FOLDER / f"{used[1]}.lua").read_text(encoding="utf-8") + text if used else text


class Script:
    """One script on one Redis."""

    def __init__(self, client: Redis, text: str) -> None:
        self._client = client
        self._text = text
        self._sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: Sequence[str], args: Sequence[str | bytes | int] = ()) -> Any:
        """Run the script and return its response."""
        return self.run_pipelined([(keys, args)])[0]

    def run_pipelined(self, calls: Iterable[Call]) -> list[Any]:
        """The response to each of `calls`. Redis runs the first while later ones are prepared."""
        made: list[Call] = []
        answers = self._sent(calls, made)
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            self._client.script_load(self._text)
            for i, answer in zip(unknown, self._sent([made[i] for i in unknown], []), strict=True):
                answers[i] = answer
        raise_first(answers)
        return answers

    def _sent(self, calls: Iterable[Call], made: list[Call]) -> list[Any]:
        """The responses to `calls`. Appends each call to `made`."""

        def commands() -> Iterator[Command]:
            for keys, args in calls:
                made.append((keys, args))
                yield ("EVALSHA", self._sha, len(keys), *keys, *args)

        return send_pipelined(self._client, commands())


def script(client: Redis, name: str) -> Script:
    """The script `name`, callable with `keys` and `args`."""
    return Script(client, source(name))
