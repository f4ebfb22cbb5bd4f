"""The exchange's timestamps: RFC 3339 in UTC with 0 to 9 fraction digits, trailing zeros stripped."""

from __future__ import annotations

import re
from datetime import datetime

_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_END_S = 2**32
"""A candle's start is 32 bits of UNIX seconds (until the year 2106), so no later time makes sense."""


def parse_ms(text: str) -> int:
    """UNIX milliseconds of `text`, rounded down; `ValueError` if it is not such a time."""
    if not _FORM.fullmatch(text):
        raise ValueError("not an RFC 3339 time in UTC")
    time = datetime.fromisoformat(text)
    seconds = int(time.timestamp())
    if not 0 < seconds < _END_S:
        raise ValueError("time out of range")
    return seconds * 1000 + time.microsecond // 1000
