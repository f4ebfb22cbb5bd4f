"""Parts of reading any exchange's data: the error of an unusable frame, limits, decimal numbers. Pure."""

from __future__ import annotations

import re
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, ValidationError

MAX_FRAME_BYTES = 8 * 2**20
"""No requested data is near this size: a candles snapshot is about 15 KB per product."""

_DECIMAL = re.compile(r"\d{1,24}(?:\.\d{1,24})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_MAX_DIGITS = 200


class BadFrame(ValueError):
    """A frame, or a part of one, that cannot be used. `kind`: one of few values, to count by."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail[:160]}" if detail else kind)
        self.kind = kind


def why(error: ValidationError) -> str:
    """The first error, without the input itself (which may be megabytes)."""
    first = error.errors(include_input=False, include_url=False)[0]
    return ".".join(map(str, first["loc"][:4])) + " " + first["msg"].removeprefix("Value error, ")


def check_decimals(texts: tuple[str, ...]) -> None:
    """Raises `ValueError` if one of `texts` is not a decimal number, in digits or with an exponent (`1.2E-7`)."""
    digits = "".join(texts).replace(".", "")
    # Not float() alone: it accepts "nan", "1_0", " 1" and the digits of every script as well.
    if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS:
        return
    for text in texts:
        if not _DECIMAL.fullmatch(text):
            raise ValueError(f"{text[:40]!r} is not a decimal number")


def _float_or_zero(value: object) -> float:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return float(value)
    return 0.0


Amount: TypeAlias = Annotated[float, BeforeValidator(_float_or_zero)]
"""A decimal string; 0 if the exchange leaves it empty, as for products that do not trade."""
