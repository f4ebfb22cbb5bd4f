"""Timeframes and the arithmetic of their buckets.

A bucket is the half-open interval ``[start_s, start_s + seconds)`` of exchange time. Its start is a multiple of
the timeframe's length since the UNIX epoch, so every length that divides a day is aligned to UTC midnight.
"""

from __future__ import annotations

from enum import StrEnum

from app.errors import InvalidInput


class Timeframe(StrEnum):
    """A candle length, by its usual short name."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H2 = "2h"
    H4 = "4h"
    H6 = "6h"
    D1 = "1d"

    @property
    def seconds(self) -> int:
        return _SECONDS[self]

    @classmethod
    def parse(cls, name: str) -> Timeframe:
        """The timeframe called `name`. Raises `InvalidInput`, which lists the known ones."""
        try:
            return cls(name)
        except ValueError:
            known = ", ".join(cls)
            raise InvalidInput(f"unknown timeframe {name!r}: use one of {known}") from None

    def bucket(self, time_s: float) -> int:
        """Start of the bucket that holds `time_s` (UNIX seconds)."""
        return int(time_s // self.seconds) * self.seconds

    def next(self, time_s: float) -> int:
        """Start of the bucket after the one that holds `time_s`."""
        return self.bucket(time_s) + self.seconds

    def last_over(self, time_s: float) -> int:
        """Start of the newest bucket that is over at `time_s`."""
        return self.bucket(time_s) - self.seconds

    def is_aligned(self, start_s: int) -> bool:
        return start_s % self.seconds == 0

    def contains(self, other: Timeframe) -> bool:
        """Whether each bucket of this timeframe is a whole number (over one) of buckets of `other`."""
        return self.seconds > other.seconds and self.seconds % other.seconds == 0


_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
_SECONDS = {timeframe: int(timeframe[:-1]) * _UNITS[timeframe[-1]] for timeframe in Timeframe}

BASE = Timeframe.M5
"""The timeframe that the stream delivers; longer ones are aggregated from it."""
