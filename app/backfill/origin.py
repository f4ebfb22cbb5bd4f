"""What a response says about the origin of a series, and when the origin is checked. Pure."""

from __future__ import annotations

from app.market.records import Records, has_trades
from app.market.timeframes import Timeframe
from app.storage.model import Origin, View
from app.storage.requests import PageRequest

ORIGIN_DELAYS_S = (0.0, 900.0, 3_600.0, 86_400.0)
"""Seconds from the n-th response that agrees on the origin to the next check: a first response may be short, and a
second one in the same minute, too."""


def origin_by(view: View, requested: PageRequest, rows: Records, requested_s: float, step: int) -> Origin | None:
    """The series' origin according to the response; None if it is unchanged.

    The response counts if it reaches back as far as the ring does (or as far as a page of the longest timeframe can),
    has the oldest known trade, and nothing before it.
    """
    known, traded = view.origin, view.over[has_trades(view.over)]
    if not len(rows):
        return Origin(0, int(requested_s), 1) if not view.revision else None
    oldest_s = int(rows["start_s"][0])
    first_s = min(oldest_s, int(traded["start_s"][0])) if len(traded) else oldest_s
    is_longest = not any(t.contains(requested.timeframe) for t in Timeframe)
    reaches = requested.first_s < oldest_s and (is_longest or requested.first_s <= view.from_s + 2 * step)
    if not reaches or oldest_s != first_s:
        return Origin(first_s, 0, 0) if 0 < first_s < known.start_s else None
    if known.start_s != first_s or known.seen_s > requested_s:
        return Origin(first_s, int(requested_s), 1)
    if requested_s - known.seen_s < ORIGIN_DELAYS_S[known.responses]:
        return None
    return Origin(first_s, int(requested_s), known.responses + 1)
