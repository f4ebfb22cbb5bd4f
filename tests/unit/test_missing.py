"""Which page of REST is requested next, and when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.backfill import surveys
from app.backfill.missing import Built, Gaps
from app.exchange.adapter import Page
from app.market.candles import CandleState
from app.market.records import PROVISIONAL, Records
from app.market.timeframes import Timeframe
from app.storage.model import NO_ORIGIN, Origin, View
from app.storage.requests import PAGE, PageRequest, Rules, Uncovered, page_of_reconciliation
from tests.build import B0, STEP, candle, empty, records, run

M1, M5, M15, D1 = Timeframe.M1, Timeframe.M5, Timeframe.M15, Timeframe.D1
RULES = Rules(grace_s=2, settling_s=60)
CLOSED, CONFIRMED, FORMING = CandleState.CLOSED, CandleState.CONFIRMED, CandleState.FORMING
CAPACITY = 1000


def at(bucket: int, seconds: float = 0.0) -> float:
    """Exchange time, `seconds` after the start of bucket number `bucket`."""
    return B0 + bucket * STEP + seconds


def start(bucket: int) -> int:
    return B0 + bucket * STEP


def provisional(bucket: int, count: int = 1, state: CandleState = CLOSED) -> Records:
    made = run(start(bucket), count, state)
    made["flags"] |= PROVISIONAL
    return made


def gaps(
    *parts: Records,
    now: float,
    origin: Origin | None = None,
    uncovered: tuple[Uncovered, ...] = (),
    silent: tuple[int, ...] = (),
    **more: object,
) -> Gaps:
    """A series of 5m that holds `parts`; without `origin` it begins with the first of them."""
    held = np.concatenate([run(B0, 0), *parts])
    begins = Origin.given(int(held["start_s"][0])) if len(held) else NO_ORIGIN
    newest = RULES.newest(M5, now)
    view = View(held, 1, begins if origin is None else origin, newest - (CAPACITY - 1) * STEP, silent)
    return Gaps(view, M5, now, RULES, uncovered, **more)  # type: ignore[arg-type]


def page(first: int, last: int) -> PageRequest:
    return PageRequest(M5, start(first), start(last))


def response(*buckets: int) -> Page:
    return Page.between_rows([candle(start(b)) for b in buckets], STEP)


# Which page.


def test_a_series_that_was_never_requested_needs_its_newest_page_up_to_the_open_bucket() -> None:
    nothing = Gaps(View(run(B0, 0), 0, NO_ORIGIN, B0), M5, at(10, 30), RULES)
    assert nothing.next_page() == PageRequest(M5, start(10 - PAGE + 1), start(10), initial=True)
    assert nothing.due_s() == at(10, 30)


def test_the_open_bucket_and_the_grace_are_left_to_the_stream() -> None:
    assert gaps(run(B0, 9), now=at(10, 1.9)).next_page() is None
    assert gaps(run(B0, 9), now=at(10, 2.0)).next_page() == page(8, 10)


def test_a_page_reaches_from_the_candle_before_a_gap_to_the_first_settled_one_behind_it() -> None:
    known = gaps(run(B0, 4), run(start(6), 4), now=at(10, 61))
    assert known.next_page() == page(3, 6)
    assert gaps(run(B0, 4), run(start(6), 4, FORMING), now=at(10, 61)).next_page() == page(3, 10)
    unsettled = gaps(run(B0, 4), run(start(5), 1), now=at(6, 30))
    assert unsettled.next_page() == page(3, 6), (
        "the candle behind the gap may still change, so the open bucket is needed"
    )


def test_it_reaches_back_to_a_candle_that_rest_has_confirmed_if_one_is_near() -> None:
    assert gaps(run(B0, 3), run(start(3), 2, CLOSED), now=at(6, 5)).next_page() == page(2, 6)
    assert gaps(run(B0, 3), run(start(3), 8, CLOSED), now=at(12, 5)).next_page() == page(10, 12)


def minutes(held: Records, *, now: float, origin: Origin | None = None) -> Gaps:
    """A series of 1m, which no stream delivers; without `origin` it begins with the first of `held`."""
    begins = Origin.given(int(held["start_s"][0])) if origin is None else origin
    view = View(held, 1, begins, RULES.newest(M1, now) - (CAPACITY - 1) * M1.seconds)
    return Gaps(view, M1, now, RULES)


def test_candles_without_a_stream_are_requested_when_their_five_minutes_are_over() -> None:
    known = run(start(-10), 50, step=60)
    for now in (at(0, 2), at(0, 150), at(0, 301)):
        assert minutes(known[:-1], now=now).next_page() == PageRequest(M1, start(0) - 120, M1.bucket(now))
    for now in (at(0, 62), at(0, 150), at(1, 1.9)):
        assert minutes(known, now=now).next_page() is None
        assert minutes(known, now=now).due_s() == at(1, 2)
    assert minutes(known, now=at(1, 2)).next_page() == PageRequest(M1, start(0) - 60, start(1))


def test_history_has_its_turn_although_a_bucket_more_is_missing_each_minute() -> None:
    """With hundreds of products a turn comes less often than that: the newest page alone would fill nothing."""
    held = minutes(run(start(-100), 500, step=60), now=at(0, 250), origin=NO_ORIGIN)
    assert held.is_history
    assert held.next_page() == PageRequest(M1, start(-100) - (PAGE - 1) * 60, start(-100))


def test_empty_and_provisional_candles_are_not_anchors() -> None:
    known = gaps(run(B0, 2), empty(start(2), 10.0), provisional(3), now=at(5, 61))
    assert known.next_page() == page(1, 5)


def test_the_newest_gap_comes_first_with_others_on_its_page() -> None:
    known = gaps(run(B0, 400), run(start(410), 100), run(start(520), 100), run(start(1200), 5), now=at(1205, 61))
    newest = known.next_page()
    assert newest == page(851, 1200), "from the first trade behind the newest gap as far back as a page goes"
    filled = gaps(run(B0, 400), run(start(410), 100), run(start(520), 700), now=at(1220, 61))
    assert filled.next_page() == page(399, 520), "both older gaps fit into one"


def test_a_long_gap_is_filled_page_by_page_each_ending_at_a_known_candle() -> None:
    known = run(B0, 1)
    for expected in (page(651, 1000), page(302, 651), page(0, 302)):
        held = gaps(known, now=at(1000, 61), origin=Origin.given(B0)).next_page()
        assert held == expected
        known = np.concatenate([run(B0, 1), run(expected.first_s, (start(1000) - expected.first_s) // STEP)])
        known = known[np.unique(known["start_s"], return_index=True)[1]]
    assert gaps(known, now=at(1000, 61), origin=Origin.given(B0)).next_page() is None


def test_a_series_requests_its_whole_ring_until_its_origin_is_proven() -> None:
    first = gaps(run(start(651), 350), now=at(1001, 61), origin=NO_ORIGIN)
    assert first.next_page() == page(302, 651)
    assert first.is_history
    assert len(first.lost) == CAPACITY - 2 - 350
    claimed = Origin(start(651), int(at(1001)), responses=1)
    assert gaps(run(start(651), 350), now=at(1001, 61), origin=claimed).next_page() is None
    assert gaps(run(start(651), 353), now=at(1004), origin=claimed).next_page() == page(302, 651), "15 minutes later"
    proven = claimed._replace(responses=2)
    assert len(gaps(run(start(651), 350), now=at(1001, 61), origin=proven).lost) == 0


def test_nothing_is_requested_outside_the_ring() -> None:
    known = gaps(run(start(-100), 100), run(start(900), 100), now=at(1000, 61))
    assert known.lost[0] == start(1000 - CAPACITY + 2)


def test_provisional_candles_are_requested_once_they_have_settled() -> None:
    known = gaps(run(B0, 5), provisional(5), now=at(6, 59))
    assert known.next_page() is None
    assert known.due_s() == at(6, 60)
    assert gaps(run(B0, 5), provisional(5), now=at(6, 60)).next_page() == page(4, 6)


def test_only_unbuildable_buckets_of_a_longer_timeframe_are_requested() -> None:
    hours = run(B0 // 900 * 900, 3, step=900)
    now = float(hours["start_s"][-1]) + 20 * 900
    view = View(hours, 1, Origin.given(int(hours["start_s"][0])), int(now) - 900_000)
    built = Gaps(view, M15, now, RULES, (), Built(int(hours["start_s"][-1]) + 900 * 5))
    assert built.lost.tolist() == [int(hours["start_s"][-1]) + 900 * i for i in range(1, 5)]


def test_a_longer_candle_with_trades_is_requested_while_a_part_of_it_is_uncovered() -> None:
    f = next(b for b in range(3) if start(b) % 900 == 0)
    when = at(f + 22, 61)

    def built(*lost: int, requested_s: float, uncovered: bool = True) -> Built:
        held = run(start(f), 22)[~np.isin(range(f, f + 22), lost)]
        uncovered_part = uncovered_at(lost[0], lost[-1], requested_s) if uncovered else ()
        return Built.from_base(gaps(held, now=when, uncovered=uncovered_part), M15)

    waits = built(f + 4, requested_s=when - 10)
    assert waits == Built(start(f), frozenset({start(f + 3)}))
    assert waits.leaves_out(np.array([start(f) - 900, start(f), start(f + 3)])).tolist() == [True, False, True]
    assert not built(f + 4, requested_s=when - 300).except_s, "it is requested itself, now"
    assert not built(f + 4, requested_s=when, uncovered=False).except_s
    assert not built(f + 3, f + 4, f + 5, requested_s=when - 10).except_s, "no trade is known that it would tell of"


def test_a_page_of_a_longer_series_ends_behind_unbuildable_buckets_and_then_at_the_open_one() -> None:
    first, last = M15.bucket(B0), M15.bucket(B0) + 40 * 900
    now = last + 900 + 61.0
    built = Built(first + 10 * 900)

    def need(*uncovered: Uncovered) -> PageRequest | None:
        view = View(run(first, 1, step=900), 1, Origin.given(first), first - 900_000)
        return Gaps(view, M15, now, RULES, uncovered, built).next_page()

    assert need() == PageRequest(M15, first, first + 14 * 900), "there will be some row that is built"
    uncovered_part = Uncovered(first + 900, first + 9 * 900, now - 7_200, 1)
    assert need(uncovered_part) == PageRequest(M15, first, M15.bucket(now)), "there was none"


def test_the_rest_of_a_range_excludes_the_page() -> None:
    whole = Uncovered(300, 3_000, 1.0, 2)
    assert whole.outside(900, 1_200, 300) == [Uncovered(300, 600, 1.0, 2), Uncovered(1_500, 3_000, 1.0, 2)]
    assert whole.outside(300, 3_000, 300) == []


# When.


def uncovered_at(first: int, last: int, when: float, responses: int = 1) -> tuple[Uncovered, ...]:
    return (Uncovered(start(first), start(last), when, responses),)


@pytest.mark.parametrize(("responses", "minutes"), [(1, 5), (2, 10), (3, 45), (4, 60), (9, 60)])
def test_an_uncovered_range_is_requested_again_after_5_15_and_60_minutes_then_hourly(
    responses: int, minutes: int
) -> None:
    when = at(13, 70)
    assert gaps(run(B0, 10), now=when, uncovered=uncovered_at(10, 12, when, responses)).next_page() is None
    uncovered = uncovered_at(10, 100, when, responses)
    assert gaps(run(B0, 10), now=when, uncovered=uncovered).due_s() == when + 60 * minutes
    assert gaps(run(B0, 10), now=when + 60 * minutes - 1, uncovered=uncovered).next_page() is None
    assert gaps(run(B0, 10), now=when + 60 * minutes, uncovered=uncovered).next_page() is not None


def test_an_uncovered_gap_is_due_again_when_a_trade_behind_it_has_settled() -> None:
    uncovered = uncovered_at(10, 12, at(13, 70), responses=4)
    known = (run(B0, 10), run(start(13), 1))
    assert gaps(*known, now=at(14, 59), uncovered=uncovered).next_page() is None
    assert gaps(*known, now=at(14, 59), uncovered=uncovered).due_s() == at(14, 60)
    assert gaps(*known, now=at(14, 60), uncovered=uncovered).next_page() == page(9, 13)


def test_a_gap_that_was_requested_before_it_had_settled_is_due_when_it_has() -> None:
    uncovered = uncovered_at(10, 10, at(11, 5))
    assert gaps(run(B0, 10), now=at(11, 6), uncovered=uncovered).due_s() == at(11, 60)


def test_another_gap_is_due_at_once_and_so_is_another_part_of_the_same() -> None:
    uncovered = uncovered_at(10, 12, at(20, 70))
    assert gaps(run(B0, 10), run(start(13), 6), now=at(20, 71), uncovered=uncovered).next_page() == page(18, 20)
    tail = uncovered_at(600, 999, at(1_000, 61))
    assert gaps(run(B0, 10), now=at(1_000, 62), uncovered=tail).next_page() == page(250, 599)


def test_a_time_from_the_future_delays_nothing() -> None:
    ahead = uncovered_at(10, 12, at(5_000))
    assert gaps(run(B0, 10), now=at(13, 61), uncovered=ahead).next_page() == page(9, 13)
    claimed = Origin(B0, int(at(9_000)), responses=1)
    assert gaps(run(B0, 10), now=at(10, 61), origin=claimed).next_page() is not None


def test_uncovered_ranges_are_kept_beside_earlier_ones() -> None:
    known = (run(B0, 10), run(start(13), 6))
    first = gaps(*known, now=at(20, 61)).still_uncovered(page(18, 20))
    assert first == uncovered_at(19, 19, at(20, 61))
    both = gaps(*known, now=at(20, 62), uncovered=first).still_uncovered(page(9, 13))
    assert both == uncovered_at(19, 19, at(20, 61)) + uncovered_at(10, 12, at(20, 62))
    again = gaps(*known, now=at(30, 5), uncovered=both).still_uncovered(page(18, 30))
    assert again == uncovered_at(10, 12, at(20, 62)) + uncovered_at(19, 29, at(30, 5), responses=2)
    assert gaps(run(B0, 20), now=at(20, 61), uncovered=both).still_uncovered(page(18, 20)) == ()


@pytest.mark.parametrize(("responses", "minutes"), [(2, 60), (3, 24 * 60)])
def test_a_proven_origin_is_checked_again_after_an_hour_then_daily(responses: int, minutes: int) -> None:
    origin, known = Origin(start(990), int(at(1_000)), responses), run(start(990), 10)
    due = at(1_000) + 60 * minutes
    for now, expected in ((due - 1, None), (due, start(990))):
        filled = np.concatenate([known, run(start(1_000), int(now - at(1_000)) // STEP)])
        need = gaps(filled, now=now, origin=origin).next_page()
        assert (need and need.last_s) == expected
    filled = np.concatenate([known, run(start(1_000), int(due - at(1_000)) // STEP)])
    blind = gaps(filled, now=due, origin=origin).still_uncovered(page(641, 990))
    assert gaps(filled, now=due + 1, origin=origin, uncovered=blind).due_s() == due + 300, (
        "it said nothing: as any other"
    )


# A gap that no page spans.


def test_a_page_that_holds_only_its_end_leads_to_a_survey_in_the_shortest_timeframe_that_spans_the_gap() -> None:
    known = gaps(run(B0, 1), run(start(800), 5), now=at(805, 61))
    need = known.next_page()
    assert need == page(451, 800)
    survey = surveys.survey(known, need, response(800))
    assert survey == PageRequest(M15, M15.bucket(B0), M15.bucket(at(805, 61)))
    assert surveys.survey(known, need, response(700, 800)) is None, "there is more to find with pages of its own"
    near = gaps(run(B0, 1), run(start(300), 5), now=at(305, 61))
    assert surveys.survey(near, page(0, 300), response(0, 300)) is None


def test_a_short_gap_behind_a_trade_is_surveyed_if_the_next_trade_is_further_away_than_a_page() -> None:
    empties = np.concatenate([empty(start(b), 10.0) for b in range(3, 700)])
    known = gaps(run(B0, 2), empties, run(start(700), 5), now=at(705, 61))
    survey = surveys.survey(known, page(1, 350), response(0, 1))
    assert survey == PageRequest(M15, M15.bucket(start(1)), M15.bucket(at(705, 61)))
    assert surveys.survey(known, page(1, 350), response(0, 1, 30)) is None, "there is a row behind the gap"


def test_a_gap_before_the_first_row_of_a_page_is_surveyed_if_the_trade_before_it_is_further_away_than_a_page() -> None:
    """It may share its page with a newer gap each time, and would otherwise wait forever for its own page."""
    quiet = np.concatenate([empty(start(b), 10.0) for b in range(1, 500)])
    known = gaps(run(B0, 1), quiet, run(start(501), 5), run(start(507), 3), now=at(510, 61))
    need = page(161, 510)
    assert known.due == [(start(500), start(500)), (start(506), start(506))]
    survey = surveys.survey(known, need, response(*range(501, 506), *range(507, 510)))
    assert survey == PageRequest(M15, M15.bucket(B0), M15.bucket(at(510, 61)))
    near = gaps(run(B0, 401), run(start(501), 5), now=at(506, 61))
    assert surveys.survey(near, need, response(501, 505)) is None, "it lacks a trade that is known: it is short"
    longer = gaps(run(B0, 100), run(start(501), 5), now=at(506, 61))
    survey = surveys.survey(longer, need, response(501, 505))
    assert survey == PageRequest(M15, M15.bucket(start(99)), M15.bucket(at(506, 61))), (
        "no older page may be due for an hour"
    )


def flagged(start_s: int, flags: int) -> Records:
    held = records((start_s, CandleState.CLOSED))
    held["flags"] = flags
    return held


def marked(held: Records) -> Records:
    """The same, but provisional."""
    held["flags"] |= PROVISIONAL
    return held


def test_provisional_candles_neither_end_nor_begin_a_page_nor_prevent_a_survey() -> None:
    known = gaps(run(B0, 10), marked(run(start(10), 20)), run(start(30), 5), now=at(35, 61))
    assert known.due == [(start(10), start(29))]
    assert known.next_page() == page(0, 30)._replace(first_s=start(30 - PAGE + 1))
    far = gaps(run(B0, 1), marked(run(start(300), 100)), run(start(800), 5), now=at(805, 61))
    assert far.next_page() == page(451, 800)
    assert surveys.survey(far, page(451, 800), response(800)) == PageRequest(
        M15, M15.bucket(B0), M15.bucket(at(805, 61))
    )
    left = gaps(
        run(B0, 1), marked(run(start(300), 100)), now=at(1_000, 61), uncovered=uncovered_at(400, 999, at(1_000, 60))
    )
    assert left.next_page() == page(50, 399), "what lies before it may be as wrong"
    waiting = uncovered_at(13, 19, at(20, 60))
    beside = gaps(run(B0, 10), marked(run(start(13), 1)), now=at(20, 61), uncovered=waiting)
    assert beside.next_page() == page(9, 20), "no page ends at one"


def test_a_provisional_close_does_not_prevent_a_survey_of_a_gap() -> None:
    early = flagged(start(700), CandleState.CLOSED | PROVISIONAL)
    known = gaps(run(B0, 1), early, run(start(801), 5), now=at(805, 61))
    assert surveys.survey(known, page(452, 801), response(801)) == PageRequest(
        M15, M15.bucket(B0), M15.bucket(at(805, 61))
    )
    sure = gaps(run(B0, 1), records((start(700), CandleState.CLOSED)), run(start(801), 5), now=at(805, 61))
    assert surveys.survey(sure, page(452, 801), response(801)) is None


def test_gaps_before_and_behind_the_newest_trade_wait_separately() -> None:
    known = gaps(run(B0, 10), run(start(13), 1), now=at(20, 61))
    assert known.still_uncovered(page(9, 20)) == uncovered_at(10, 12, at(20, 61)) + uncovered_at(14, 19, at(20, 61))


def test_a_survey_of_a_start_without_a_trade_reaches_to_the_ring_s_edge_once() -> None:
    nothing = gaps(now=at(1_000, 61), origin=NO_ORIGIN)
    need = page(651, 1_000)
    survey = surveys.survey(nothing, need, response())
    assert survey is not None
    assert (survey.timeframe, survey.last_s) == (M15, M15.bucket(at(1_000)))
    assert survey.first_s == M15.bucket(start(1_000 - CAPACITY + 2))
    again = gaps(now=at(1_000, 61), origin=NO_ORIGIN, uncovered=uncovered_at(2, 999, at(1_000)))
    assert surveys.survey(again, need, response()) is None


def test_trades_that_a_survey_found_are_requested_with_the_page_that_ends_at_them() -> None:
    known = gaps(run(B0, 1), run(start(800), 5), now=at(805, 61))
    survey = PageRequest(M15, M15.bucket(B0), M15.bucket(at(805)))
    found = M15.bucket(start(300))
    rows = [candle(M15.bucket(s), timeframe=M15) for s in (B0, start(300), start(800))]
    last = found + 900 - STEP
    assert surveys.located(known, survey, Page.between_rows(rows, 900)) == PageRequest(
        M5, last - (PAGE - 1) * STEP, last
    )
    assert surveys.located(known, survey, Page.between_rows([rows[0], rows[2]], 900)) is None


def test_a_gap_too_far_from_the_next_trade_is_requested_from_the_one_before_it() -> None:
    empties = np.concatenate([empty(start(b), 10.0) for b in range(3, 700)])
    known = gaps(run(B0, 2), empties, run(start(700), 5), now=at(705, 61))
    assert known.next_page() == page(1, 350)


def test_a_day_has_no_longer_timeframe_to_survey_with() -> None:
    day = 86_400
    held = run(B0 // day * day, 1, step=day)
    now = float(held["start_s"][0]) + 900 * day + 100
    view = View(held, 1, Origin.given(int(held["start_s"][0])), int(now) - 1000 * day)
    days = Gaps(view, D1, now, RULES)
    need = days.next_page()
    assert need is not None
    assert surveys.survey(days, need, Page.between_rows([], day)) is None


def test_a_reconciliation_requests_the_newest_page_in_any_case() -> None:
    assert page_of_reconciliation(M5, at(10, 61)) == page(10 - PAGE + 1, 10)


# Not requested, or later, or not further.


def test_a_provisional_candle_before_the_origin_is_not_requested() -> None:
    known = gaps(provisional(0), run(start(5), 5), now=at(10, 61), origin=Origin.given(start(5)))
    assert known.next_page() is None


def test_a_longer_provisional_candle_waits_for_the_shorter_ones_beneath_it() -> None:
    hours = run(B0 // 900 * 900, 3, step=900)
    hours["flags"][2] |= PROVISIONAL
    settles_s = float(hours["start_s"][2]) + 900 + RULES.settling_s
    view = View(hours, 1, Origin.given(int(hours["start_s"][0])), int(hours["start_s"][0]) - 900_000)
    early = Gaps(view, M15, settles_s + 299, RULES)
    assert (early.next_page(), early.due_s()) == (None, settles_s + 300)
    assert Gaps(view, M15, settles_s + 300, RULES).next_page() is not None


def test_a_gap_is_not_history_and_a_series_without_a_trade_has_none() -> None:
    assert not gaps(run(B0, 4), run(start(6), 4), now=at(10, 61)).is_history
    assert not gaps(now=at(10, 61), origin=NO_ORIGIN).is_history


def test_an_origin_out_of_the_ring_is_not_requested() -> None:
    gone = Origin(start(-5_000), int(at(-4_000)), responses=2)
    full = gaps(run(start(2), 998), now=at(1_000, 61), origin=gone)
    assert full.edge_s == start(2)
    assert (full.next_page(), full.due_s()) == (None, None)


def test_uncovered_ranges_are_bounded_and_the_newest_stay() -> None:
    held = [run(start(b), 1) for b in range(0, 62, 2)]
    uncovered = tuple(Uncovered(start(b), start(b), at(60), 1) for b in range(1, 60, 2))
    kept = gaps(*held, now=at(61, 61), uncovered=uncovered).still_uncovered(page(60, 61))
    assert [a.first_s for a in kept] == [start(b) for b in range(29, 60, 2)]


def test_buckets_before_an_unproven_first_trade_wait_like_any_gap() -> None:
    uncovered = uncovered_at(-1_000, 12, at(13, 70), responses=4)
    known = gaps(run(start(13), 1), now=at(14, 59), origin=Origin(start(13), 0, 0), uncovered=uncovered)
    assert known.due_s() == at(14, 60), "when the trade behind it has settled"


def test_a_waiting_provisional_candle_is_not_an_anchor() -> None:
    known = gaps(run(B0, 3, CLOSED), provisional(3), now=at(5, 61), uncovered=uncovered_at(3, 3, at(5, 50)))
    assert known.next_page() == page(2, 5)


def test_a_contradicted_candle_is_not_an_anchor_and_a_whole_page_is_requested() -> None:
    """Otherwise each response would find one more wrong candle, just before the page of the previous one."""
    marked = run(start(500), 3)
    marked["flags"] |= PROVISIONAL
    known = gaps(run(B0, 500), marked, run(start(503), 2), now=at(505, 61))
    assert known.next_page() == page(154, 503)


def test_silence_is_requested_once_it_has_settled() -> None:
    early, due = (
        gaps(run(B0, 10), now=now, silent=(start(10),), origin=Origin.given(B0)) for now in (at(11, 5), at(11, 60))
    )
    assert (early.next_page(), early.due_s()) == (None, at(11, 60))
    assert due.next_page() == page(9, 11)


def test_a_candle_of_the_stream_that_no_reconciliation_reaches_is_requested() -> None:
    closed = run(start(150), 1, CLOSED)
    parts = run(B0, 150), closed, run(start(151), 354)
    assert gaps(*parts, now=at(499, 61)).next_page() is None, "the page of the next hour has it"
    assert gaps(*parts, now=at(500, 61)).next_page() == page(149, 151)


def test_a_candle_of_the_stream_that_leaves_the_ring_is_not_requested() -> None:
    def lost(bucket: int) -> list[int]:
        parts = run(B0, bucket), run(start(bucket), 1, CLOSED), run(start(bucket + 1), 999 - bucket)
        return gaps(*parts, now=at(1000, 61)).lost.tolist()

    edge = 1000 - CAPACITY + 2
    assert lost(edge) == [start(edge)]
    assert lost(edge - 1) == []


def test_an_empty_response_about_the_origin_is_not_surveyed_and_waits() -> None:
    origin = Origin(start(500), at(500), 2)
    known = gaps(run(start(500), 100), now=at(600, 61), origin=origin)
    need = known.next_page()
    assert need == page(151, 500)
    assert surveys.survey(known, need, response()) is None
    blind = known.still_uncovered(need)
    again = gaps(run(start(500), 100), now=at(600, 62), origin=origin, uncovered=blind)
    assert (again.next_page(), again.due_s()) == (None, at(600, 61) + 300)
    wider = PageRequest(M15, M15.bucket(start(100)), M15.bucket(start(600)))
    after = gaps(run(start(500), 100), now=at(600, 63), origin=origin, uncovered=again.still_uncovered(wider))
    assert after.next_page() is None, "what a survey covered tells nothing of the origin either"


def test_a_survey_spans_the_gap_with_room_for_a_row_behind_it() -> None:
    first, last = M15.bucket(B0), M15.bucket(B0) + 400 * 900
    held = np.concatenate([run(first, 1), run(last, 1)])
    now = last + STEP + 61.0
    known = Gaps(View(held, 1, Origin.given(first), first - 2_000 * STEP), M5, now, RULES)
    survey = surveys.survey(known, PageRequest(M5, last - 300 * STEP, last), Page.between_rows([candle(last)], STEP))
    assert survey is not None
    assert survey.timeframe == Timeframe.M30


def test_a_gap_that_needs_a_survey_is_due_again_when_the_longer_bucket_of_the_trade_behind_has_settled() -> None:
    """A survey covers buckets before its newest row; that row must have settled."""
    waits = (Uncovered(start(1), start(800), at(802, 61), 9),)  # when the trade itself had settled
    settles_s = M15.bucket(start(801)) + 900 + RULES.settling_s
    assert at(802, 61) < settles_s == at(804, 60)
    early, due = (gaps(run(B0, 1), run(start(801), 3), now=now, uncovered=waits) for now in (settles_s - 1, settles_s))
    assert (early.due, due.due) == ([], [(start(1), start(800))])


def test_the_newest_trades_of_a_survey_before_the_open_bucket_are_requested() -> None:
    known = gaps(run(B0, 1), run(start(800), 1), now=at(805, 61))
    survey = PageRequest(M15, M15.bucket(B0), M15.bucket(at(805)))
    found = [M15.bucket(start(300)), M15.bucket(start(500)), survey.last_s]
    rows = [candle(s, timeframe=M15) for s in found]
    located = surveys.located(known, survey, Page.between_rows(rows, 900))
    assert located is not None
    assert located.last_s == found[1] + 900 - STEP


@given(st.data())
def test_due_ranges_are_requested_and_others_have_a_later_time(data: st.DataObject) -> None:
    """Otherwise a worker would claim the same request again and again."""
    kinds = data.draw(st.lists(st.sampled_from("MTEP"), min_size=1, max_size=30))
    parts = [
        {"T": run(start(b), 1), "E": empty(start(b), 10.0), "P": provisional(b)}[kind]
        for b, kind in enumerate(kinds)
        if kind != "M"
    ]
    now = at(len(kinds), data.draw(st.integers(0, 4000)))
    moments = st.integers(-90_000, 500).map(lambda s: now + s)
    begins, lengths = st.sampled_from([-998, -500, *range(-5, 30)]), st.sampled_from([*range(12), 400, 997])
    ranges = st.tuples(begins, lengths, moments, st.integers(1, 5))
    uncovered: tuple[Uncovered, ...] = ()
    for f, n, when, k in data.draw(st.lists(ranges, max_size=4)):  # a later range replaces the part that it covers
        rest = [part for a in uncovered for part in a.outside(start(f), start(f + n), STEP)]
        uncovered = (*rest, Uncovered(start(f), start(f + n), when, k))
    first = next((b for b, kind in enumerate(kinds) if kind in "TP"), 0)
    origin = Origin(start(first), int(data.draw(moments)), data.draw(st.integers(0, 3)))
    known = gaps(*parts, now=now, origin=origin, uncovered=uncovered)
    due_s = known.due_s()
    if known.next_page() is None:
        assert due_s is None or due_s > now
    else:
        assert due_s is not None
        assert due_s <= now
