"""Requests for candles as values: the page, when it is due again, how long a bucket takes to settle. Pure."""

from __future__ import annotations

from typing import NamedTuple

from app.market.timeframes import BASE, Timeframe

PAGE = 350
"""Maximum of buckets in one REST request."""

RETRY_DELAYS_S = (300.0, 600.0, 2_700.0, 3_600.0)
"""Seconds of exchange time after which a bucket is requested again, by the number of responses that did not cover it:
5, 15 and 60 minutes after the first, then hourly."""


class Rules(NamedTuple):
    """How long after its end a bucket is left to the stream, and how long REST may still change it."""

    grace_s: float
    settling_s: float

    def newest(self, timeframe: Timeframe, now_s: float) -> int:
        """Start of the newest bucket that is expected at `now_s` (exchange time)."""
        return timeframe.last_over(now_s - self.grace_s)

    def newest_requested(self, timeframe: Timeframe, now_s: float) -> int:
        """Start of the newest bucket that is requested at `now_s` if it is missing.

        No stream delivers buckets below 5m: several are requested at once when their five minutes are over.
        """
        newest_s = self.newest(timeframe, now_s)
        if timeframe.seconds >= BASE.seconds:
            return newest_s
        return min(newest_s, BASE.bucket(now_s - self.grace_s) - timeframe.seconds)

    def settled(self, timeframe: Timeframe, now_s: float) -> int:
        """Start of the newest bucket for which a response to a request at `now_s` is final."""
        return timeframe.last_over(now_s - self.settling_s)

    def settles_s(self, timeframe: Timeframe, start_s: int) -> float:
        """Exchange time from which a response for the bucket is final."""
        return start_s + timeframe.seconds + self.settling_s


class PageRequest(NamedTuple):
    """One page to request: the buckets `first_s` to `last_s` of `timeframe`.

    `timeframe`: of the series, or a longer one to survey a time that no page of the series spans. `initial`: the series
    was never requested.
    """

    timeframe: Timeframe
    first_s: int
    last_s: int
    initial: bool = False


def page(timeframe: Timeframe, first_s: int, last_s: int) -> PageRequest:
    """Request these buckets, as far as they start after 1970."""
    return PageRequest(timeframe, max(first_s, timeframe.seconds), last_s)


def ending(timeframe: Timeframe, last_s: int) -> tuple[int, int]:
    """The first and the last bucket of the longest page that ends at `last_s`."""
    return last_s - (PAGE - 1) * timeframe.seconds, last_s


def page_of_reconciliation(timeframe: Timeframe, now_s: float) -> PageRequest:
    """The newest page at `now_s` (exchange time), known or not."""
    return page(timeframe, *ending(timeframe, timeframe.bucket(now_s)))


def spanning(timeframe: Timeframe, first_s: int, last_s: int) -> Timeframe | None:
    """The shortest longer timeframe of which a page holds these buckets, else the longest; None if none is longer.

    The page has room for one more bucket: only buckets before another row are covered.
    """
    longer = [t for t in Timeframe if t.contains(timeframe)]
    spans = (t for t in longer if (t.bucket(last_s) - t.bucket(first_s)) // t.seconds < PAGE - 1)
    return next(spans, longer[-1] if longer else None)


class Uncovered(NamedTuple):
    """Buckets `first_s` to `last_s`, requested but not covered.

    `requested_s`: exchange time of the last request. `responses`: number in a row that did not cover them.
    """

    first_s: int
    last_s: int
    requested_s: float
    responses: int

    @property
    def due_s(self) -> float:
        return self.requested_s + RETRY_DELAYS_S[min(self.responses, len(RETRY_DELAYS_S)) - 1]

    def outside(self, first_s: int, last_s: int, step: int) -> list[Uncovered]:
        """The parts of it outside the buckets `first_s` to `last_s`."""
        before = self._replace(last_s=min(self.last_s, first_s - step))
        behind = self._replace(first_s=max(self.first_s, last_s + step))
        return [part for part in (before, behind) if part.first_s <= part.last_s]
