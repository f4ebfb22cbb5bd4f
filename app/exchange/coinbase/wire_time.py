"""The exchange's timestamps: RFC 3339 in UTC with 0 to 9 fraction digits, trailing zeros stripped."""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache

_SECOND = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_FRACTION = re.compile(r"(?:\.\d{1,9})?Z", re.ASCII)
_END_MS = 2**32 * 1000
"""A candle's start is 32 bits of UNIX seconds (until the year 2106), so no later time makes sense."""


def parse_ms(text: str) -> int:
    """UNIX milliseconds of `text`, rounded down; `ValueError` where it is no such time.

    By hand, because `datetime.fromisoformat` stops at six digits, and because every frame carries one.
    """
    fraction = text[19:]
    if not _FRACTION.fullmatch(fraction):
        raise ValueError("not an RFC 3339 time in UTC")
    ms = _second_ms(text[:19])
    return ms if fraction == "Z" else ms + int(fraction[1:4].rstrip("Z").ljust(3, "0"))


@lru_cache(maxsize=64)
def _second_ms(text: str) -> int:
    """UNIX milliseconds of a whole second. Many frames share one."""
    if not _SECOND.fullmatch(text):
        raise ValueError("not an RFC 3339 time in UTC")
    ms = int(datetime.fromisoformat(text + "+00:00").timestamp()) * 1000
    if not 0 < ms < _END_MS:
        raise ValueError("time out of range")
    return ms
