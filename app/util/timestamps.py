"""Parse and format points in time."""

from __future__ import annotations

from datetime import UTC, datetime

from app.errors import InvalidInput


def parse_time(text: str) -> int:
    """UNIX seconds of `text`: whole UNIX seconds, or ISO 8601 (`2025-01-31T12:00:00Z`; UTC if no zone is given).

    Raises `InvalidInput` if it is neither, or not a whole second from 1970 to 2106.
    """
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else _from_iso(text)
    if not 0 <= seconds < 2**32:
        raise InvalidInput(f"{text[:40]!r} is out of range: use UNIX seconds (not milliseconds)")
    return seconds


def _from_iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if moment.microsecond:
            raise ValueError
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{text[:40]!r} is not a time: use whole UNIX seconds (1738324800) or ISO 8601 (2025-01-31T12:00:00Z)"
        ) from None


def format_utc(seconds: float) -> str:
    """Format `seconds` (UNIX) in UTC: `2025-01-31 12:00:00`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
