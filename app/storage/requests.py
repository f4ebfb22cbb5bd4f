"""A request for candles as a value: which page, when it is due again, and how long a bucket takes to settle. Pure."""

from __future__ import annotations

from typing import NamedTuple

from app.market.timeframes import BASE, Timeframe

PAGE = 350
"""Buckets in one REST request, at most."""

RETRY_DELAYS_S = (300.0, 600.0, 2_700.0, 3_600.0)
"""After the n-th response that does not cover a bucket it is requested again after so many seconds of exchange time:
5, 15 and 60 minutes after the first, then hourly."""


class Rules(NamedTuple):
    """How long after its end a bucket is left to the stream, and how long REST may still change it."""

    grace_s: float
    settling_s: float

    def newest(self, timeframe: Timeframe, now_s: float) -> int:
        """Start of the newest bucket that is to be there at `now_s` (exchange time)."""
        return timeframe.last_over(now_s - self.grace_s)

    def newest_requested(self, timeframe: Timeframe, now_s: float) -> int:
        """Start of the newest bucket that is requested at `now_s` if it is missing.

        What no stream delivers is requested once its five minutes are over, several buckets at once.
        """
        newest_s = self.newest(timeframe, now_s)
        if timeframe.seconds >= BASE.seconds:
            return newest_s
        return min(newest_s, BASE.bucket(now_s - self.grace_s) - timeframe.seconds)

    def settled(self, timeframe: Timeframe, now_s: float) -> int:
        """Start of the newest bucket on which a response to a request at `now_s` is final."""
        return timeframe.last_over(now_s - self.settling_s)

    def settles_s(self, timeframe: Timeframe, start_s: int) -> float:
        """Exchange time from which a response on the bucket is final."""
        return start_s + timeframe.seconds + self.settling_s


class PageRequest(NamedTuple):
    """One page to request: the buckets `first_s` to `last_s` of `timeframe`.

    `timeframe`: that of the series; a longer one for a survey of a time that no page of its own spans. `initial`: the
    series was never requested.
    """

    timeframe: Timeframe
    first_s: int
    last_s: int
    initial: bool = False


def page(timeframe: Timeframe, first_s: int, last_s: int) -> PageRequest:
    """These buckets, as far as they begin after 1970."""
    return PageRequest(timeframe, max(first_s, timeframe.seconds), last_s)


def ending(timeframe: Timeframe, last_s: int) -> tuple[int, int]:
    """The first and the last bucket of the longest page that ends at `last_s`."""
    return last_s - (PAGE - 1) * timeframe.seconds, last_s


def page_start_s(timeframe: Timeframe, now_s: float) -> int:
    """The first bucket of a reconciliation at `now_s` (exchange time)."""
    return ending(timeframe, timeframe.bucket(now_s))[0]


def page_of_reconciliation(timeframe: Timeframe, now_s: float) -> PageRequest:
    """The newest page, whatever is known of it."""
    return page(timeframe, *ending(timeframe, timeframe.bucket(now_s)))


def spanning(timeframe: Timeframe, first_s: int, last_s: int) -> Timeframe | None:
    """The longer timeframe of which a page holds these buckets, or the longest; None if there is none.

    One bucket more than the last: only what lies before another row is covered.
    """
    longer = [t for t in Timeframe if t.contains(timeframe)]
    spans = (t for t in longer if (t.bucket(last_s) - t.bucket(first_s)) // t.seconds < PAGE - 1)
    return next(spans, longer[-1] if longer else None)


class Uncovered(NamedTuple):
    """Buckets that were requested and not covered, `first_s` to `last_s`.

    `requested_s`: the last time (exchange time). `responses`: how many in a row did not cover them.
    """

    first_s: int
    last_s: int
    requested_s: float
    responses: int

    @property
    def due_s(self) -> float:
        return self.requested_s + RETRY_DELAYS_S[min(self.responses, len(RETRY_DELAYS_S)) - 1]

    def outside(self, first_s: int, last_s: int, step: int) -> list[Uncovered]:
        """What is left of it without the buckets `first_s` to `last_s`."""
        before = self._replace(last_s=min(self.last_s, first_s - step))
        behind = self._replace(first_s=max(self.first_s, last_s + step))
        return [part for part in (before, behind) if part.first_s <= part.last_s]
