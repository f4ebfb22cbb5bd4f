"""Pages of a longer timeframe, for gaps between two trades too long for an ordinary page. Pure."""

from __future__ import annotations

from app.backfill.missing import Gaps
from app.exchange.adapter import Page
from app.storage.requests import PAGE, PageRequest, ending, page, spanning


def survey(gaps: Gaps, requested: PageRequest, response: Page) -> PageRequest | None:
    """The survey to request if `response`, to `requested`, does not reach from one trade to another.

    None if it does, if the range between has certain trades, or if an earlier survey found all that it can.
    """
    if (unspanned := _unspanned(gaps, requested, response)) is None:
        return None
    first_s, last_s = unspanned
    begin_s = gaps.trade_before_s(first_s)
    if begin_s >= first_s or len(gaps.certain(first_s, last_s)):
        return None
    if last_s == gaps.open_s and any(a.first_s <= first_s <= a.last_s for a in gaps.uncovered):
        return None
    if (wide := spanning(gaps.timeframe, begin_s, last_s)) is None:
        return None
    first_s = max(wide.bucket(begin_s), ending(wide, wide.bucket(last_s))[0])
    return page(wide, first_s, min(wide.bucket(gaps.now_s), first_s + (PAGE - 1) * wide.seconds))


def _unspanned(gaps: Gaps, requested: PageRequest, response: Page) -> tuple[int, int] | None:
    """The buckets between two trades of which `response` has at most one.

    From its last row to the next known trade; before its first row, if the trade before the gap is older than the
    page; all of `requested`, if it has no row before its end. None if it has trades on both sides of the due gap.
    """
    rows = [c.start_s for c in response.candles]
    due = [(first, last) for first, last in gaps.due if requested.first_s <= last <= requested.last_s]
    if not due:  # a check of the origin
        return None
    behind = gaps.traded[gaps.traded > requested.last_s]
    if rows and len(behind) and due[-1][1] >= rows[-1]:
        return rows[-1] + gaps.timeframe.seconds, int(behind[0])
    if any(start_s < requested.last_s for start_s in rows):
        first_s, last_s = due[0]
        is_cut_off = gaps.trade_before_s(first_s) < requested.first_s and last_s < rows[0]
        return (first_s, rows[0]) if is_cut_off else None
    return requested.first_s, requested.last_s


def located(gaps: Gaps, survey: PageRequest, response: Page) -> PageRequest | None:
    """The page around the newest trades that a survey found in a gap; None if it found none."""
    known = {survey.timeframe.bucket(int(s)) for s in gaps.traded}
    found = [c for c in response.candles if c.start_s not in known and c.start_s < survey.last_s]
    return page(gaps.timeframe, *ending(gaps.timeframe, found[-1].end_s - gaps.timeframe.seconds)) if found else None
