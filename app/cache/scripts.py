"""Lua scripts as files, sent by their hash and loaded again by themselves after a Redis restart."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis

_FOLDER = Path(__file__).with_name("lua")


@cache
def source(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")


def script(client: Redis, name: str) -> Any:
    """The script `name`, callable with `keys` and `args`."""
    return client.register_script(source(name))
