"""What others wrote, as a message may show it: short, readable, and nothing that may be a secret. Pure."""

from __future__ import annotations

import re

MAX_WORD = 12
"""A mistyped value is seldom longer, and a password seldom shorter."""
MAX_NAME = 200

_PLAIN_NAME = re.compile(r"[A-Z0-9.:/_;-]{1,40}")
"""As products and selections are written."""

HIDDEN = "not shown: it may hold a password"


def quoted(text: str, *, is_name: bool = False) -> str:
    """`text` in quotes if it is a word (or, where a product's or a selection's name belongs, `is_name`, one of those);
    of anything longer only how long it is.
    """
    is_url = "@" in text or "://" in text
    if not is_url and (len(text) <= MAX_WORD or (is_name and _PLAIN_NAME.fullmatch(text))):
        return readable(repr(text))
    return f"a text of {len(text)} characters, {HIDDEN}"


def readable(text: str, longest: int = 1_000) -> str:
    """`text` without characters that a terminal would not show, or obey; of a long one the beginning and the end."""
    if len(text) > longest:
        text = f"{text[: longest * 3 // 4]}…{text[-longest // 5 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def path_shown(path: str) -> str:
    """A file's path, unless it looks like a URL, which may hold a password."""
    return "the file that it names" if "@" in path or "://" in path else readable(path, MAX_NAME)
