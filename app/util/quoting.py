"""Quote foreign text in messages: short, readable, without possible secrets. Pure."""

from __future__ import annotations

import re

MAX_WORD = 12
"""Mistyped values are rarely longer; passwords are rarely shorter."""
MAX_NAME = 200

_PLAIN_NAME = re.compile(r"[A-Z0-9.:/_;-]{1,40}")
"""Form of products and selections."""

HIDDEN = "not shown: it may hold a password"


def quoted(text: str, *, is_name: bool = False) -> str:
    """`text` in quotes if it is short and not a URL, otherwise only its length.

    `is_name`: quote it also if it has the form of a product or selection.
    """
    is_url = "@" in text or "://" in text
    if not is_url and (len(text) <= MAX_WORD or (is_name and _PLAIN_NAME.fullmatch(text))):
        return readable(repr(text))
    return f"a text of {len(text)} characters, {HIDDEN}"


def readable(text: str, longest: int = 1_000) -> str:
    """`text` with unprintable characters escaped. A long one is reduced to its beginning and end."""
    if len(text) > longest:
        text = f"{text[: longest * 3 // 4]}…{text[-longest // 5 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def path_shown(path: str) -> str:
    """A file path, unless it looks like a URL, which may contain a password."""
    return "the file that it names" if "@" in path or "://" in path else readable(path, MAX_NAME)
