"""Texts of any kind, a marked secret, and the rule for every message about them: short, plain, without the secret."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st

from app.errors import InvalidInput

SECRET = "Kq7Zp2Xw9LmT4vRs"
PIECES = {SECRET[i : i + 6] for i in range(len(SECRET) - 5)}

IS_FUZZ = settings.default.max_examples >= 1_000
some = settings() if IS_FUZZ else settings(max_examples=60, derandomize=True, database=None)
"""A few fixed examples; in `make fuzz` many random ones."""

HUGE = ("9" * 5_000, "x" * 100_000, "-" + "1" * 400, "[" * 70_000, "a," * 30_000, "5m," * 30_000, "\u00e4" * 300)
NUMBERS = ("inf", "-inf", "nan", "1e400", "1e-320", "-1", "0", "1_0", "0x1", "1e9", "2e9", "\u0663", "1.5", "+1", "1/1")
ODD = (
    "\x00",
    "\x1b[31mred",
    "a\nb",
    "a\r\nB: c",
    "\udcff",
    "x\ud800",
    "\u2028",
    "\u202e",
    "\ufeff",
    "a\x7f",
    "\\",
    "''",
)

texts = st.sampled_from((*HUGE, *NUMBERS, *ODD)) | st.text(st.characters(), max_size=40)
"""Includes surrogates: Python represents undecodable bytes of the environment as such."""


def refusal_of(call: Callable[[], object]) -> str | None:
    """The error message for wrong input; None if it is accepted."""
    try:
        call()
    except InvalidInput as error:
        return str(error)
    return None


def is_readable(text: str, longest: int = 700) -> bool:
    """Whether `text` is readable: no control character, no huge value, no piece of the secret."""
    assert len(text) <= longest, text[:longest]
    assert text.strip()
    assert all(line.isprintable() for line in text.split("\n")), ascii(text)
    assert "Traceback" not in text
    assert not any(piece in text for piece in PIECES), text
    return True
