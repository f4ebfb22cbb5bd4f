"""Grammar of product ids (`BTC-USD`, `BTC-PERP-INTX`), for settings, tasks, rules, the listing and look-ups.

Two to four parts joined by single dashes. A part consists of capital letters, digits and dots, and begins with a
letter or digit. So an id is safe wherever it is used. It has no `{`, `}` or `:` (keys, hash tags, channels), no `|`
(requests, alert ids), no `*`, `?` or `[` (channel patterns), no `,` or white space (lists), no `/` or `%` (paths), and
is neither `.` nor `..` (paths).
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from app.errors import InvalidInput

MAX_LENGTH = 64
"""Characters; an alert id has no room for more."""

_PART = r"[A-Z0-9][A-Z0-9.]*"
_CURRENCY = re.compile(rf"(?=.{{1,32}}\Z){_PART}", re.ASCII)
_PRODUCT = re.compile(rf"(?=.{{3,{MAX_LENGTH}}}\Z){_PART}(?:-{_PART}){{1,3}}", re.ASCII)


def is_product_id(text: str) -> bool:
    """Whether `text` is a product id."""
    return _PRODUCT.fullmatch(text) is not None


def is_currency(text: str) -> bool:
    """Whether `text` can be a part of a product id, such as its quote currency."""
    return _CURRENCY.fullmatch(text) is not None


def why_not(text: str) -> str:
    """The reason why `text` is not a product id, without repeating it."""
    if len(text) > MAX_LENGTH:
        return f"its id has {len(text)} characters; {MAX_LENGTH} are allowed"
    if wrong := sorted({c for c in text if not re.fullmatch(r"[A-Z0-9.-]", c)}):
        return f"its id contains {', '.join(map(ascii, wrong[:5]))}; only A to Z, 0 to 9, '.' and '-' are allowed"
    return "its id does not have a form like BTC-USD or BTC-PERP-INTX"


def typed(text: str) -> str:
    """The product id that a user typed, perhaps in lower case. Raises `InvalidInput` if it is invalid."""
    # Only for ASCII: str.upper() maps some other letters to ASCII, so another text would name the same product.
    product = text.upper() if text.isascii() else text
    if not is_product_id(product):
        raise InvalidInput(f"{text[:40]!r} is not a product: expected a form like BTC-USD")
    return product


def _checked(value: str) -> str:
    if not is_product_id(value):
        raise ValueError("must be a product id like BTC-USD")
    return value


ProductId = Annotated[str, AfterValidator(_checked)]
"""A field that holds a product id."""
