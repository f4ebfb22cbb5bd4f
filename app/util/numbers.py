"""Numbers as people and exchanges write them: plain decimals, never with an exponent. Pure."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import orjson

_EXPONENT = re.compile(rb"\de[+-]?\d")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.]*e[+-]?\d+')


def plain(value: float) -> str:
    """The shortest decimals that are read as `value` again: 0.0000000166, 959108004, 1234567.12345."""
    text = repr(float(value))
    if text.endswith(".0"):
        return text[:-2]
    return np.format_float_positional(value, trim="-") if "e" in text else text


def plain_json(value: Any) -> bytes:
    """`value` as JSON. Its numbers have no exponent."""
    return without_exponents(orjson.dumps(value))


def without_exponents(body: bytes) -> bytes:
    """The same JSON with plain numbers; strings stay as they are."""
    # Few answers have an exponent anywhere: to look for one takes a hundredth of what it takes to write them all anew.
    return _TOKEN.sub(_plain, body) if _EXPONENT.search(body) else body


def _plain(token: re.Match[bytes]) -> bytes:
    text = token[0]
    return text if text.startswith(b'"') else plain(float(text)).encode()


def fragment(value: float) -> orjson.Fragment:
    """`value` as a plain number within JSON."""
    return orjson.Fragment(plain(value))
