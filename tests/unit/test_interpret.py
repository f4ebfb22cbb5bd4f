"""Facts that a REST response proves, and those that it does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.backfill.interpret import PageResult, interpret, interpret_survey
from app.exchange.adapter import Page
from app.market.candles import CandleState, UnifiedCandle
from app.market.records import EMPTY, GUARDED, PROVISIONAL, SILENT, Records, has_trades, state_of, to_records
from app.market.timeframes import Timeframe
from app.storage.model import NO_ORIGIN, Origin, View, Write
from app.storage.requests import PageRequest, Rules
from tests.build import B0, STEP, candle, empty, records, run, series

M5, M15, D1 = Timeframe.M5, Timeframe.M15, Timeframe.D1
RULES = Rules(grace_s=2, settling_s=60)
CLOSED, CONFIRMED, FORMING = CandleState.CLOSED, CandleState.CONFIRMED, CandleState.FORMING
NONE = run(B0, 0)


def start(bucket: int) -> int:
    return B0 + bucket * STEP


def at(bucket: int, seconds: float = 0.0) -> int:
    """Exchange time in milliseconds, `seconds` after the start of bucket number `bucket`."""
    return int((start(bucket) + seconds) * 1000)


def view(
    *parts: Records, origin: Origin = NO_ORIGIN, silent: tuple[int, ...] = (), edge: int = -900, revision: int = 1
) -> View:
    held = np.concatenate([NONE, *parts])
    return View(held, revision, origin, start(edge) - 2 * STEP, tuple(start(b) for b in silent))


def page(*buckets: int | UnifiedCandle, unreadable: tuple[int, ...] = ()) -> Page:
    rows = [candle(start(b)) if isinstance(b, int) else b for b in buckets]
    return Page.between_rows(rows, STEP, [start(b) for b in unreadable])


def need(first: int, last: int) -> PageRequest:
    return PageRequest(M5, start(first), start(last))


def proof(
    request: PageRequest, reply: Page, known: View | None = None, now_ms: int | None = None, disputed: Records = NONE
) -> PageResult:
    when = request.last_s * 1000 + 100_000 if now_ms is None else now_ms
    return interpret(series(), request, reply, view() if known is None else known, disputed, when, RULES)


def buckets(found: Records) -> list[int]:
    return [(int(s) - B0) // STEP for s in found["start_s"]]


def confirmed(found: PageResult) -> list[int]:
    return buckets(found.write.records[state_of(found.write.records) == CONFIRMED])


# Empty buckets.


def test_a_bucket_between_two_rows_is_empty_and_carries_the_close_before_it() -> None:
    found = proof(need(0, 4), page(0, candle(start(3), close=10.5), 4)).write.records
    assert buckets(found) == [0, 1, 2, 3]
    assert has_trades(found).tolist() == [True, False, False, True]
    assert found["close"].tolist() == [10.0, 10.0, 10.0, 10.5]
    assert (state_of(found) == CONFIRMED).all()


@pytest.mark.parametrize("reply", [page(), page(3), page(3, 4)])
def test_missing_rows_before_the_first_and_behind_the_last_prove_nothing(reply: Page) -> None:
    found = proof(need(0, 9), reply, view(run(start(-3), 3)), at(20))
    assert has_trades(found.write.records).all()
    assert set(buckets(found.write.records)) <= {3, 4}


def test_the_newest_row_may_be_partial_and_is_provisional() -> None:
    found = proof(need(0, 4), page(0, 1, 2), None, at(10)).write.records
    assert buckets(found) == [0, 1, 2]
    assert (found["flags"] & PROVISIONAL != 0).tolist() == [False, False, True]
    assert state_of(found).tolist() == [CONFIRMED, CONFIRMED, CLOSED]


def test_the_open_bucket_s_row_confirms_rows_but_no_empty_buckets() -> None:
    late = proof(need(0, 9), page(0, 1, 2, 9), None, at(9, 100))
    assert confirmed(late) == [0, 1, 2], "a server that is late may still show the open bucket"
    whole = proof(need(0, 9), page(0, 1, 2, 7, 8, 9), None, at(9, 100))
    assert confirmed(whole) == list(range(9))


def test_buckets_that_have_not_settled_are_only_closed() -> None:
    found = proof(need(0, 3), page(0, 1, 2, 3), None, at(3, 59)).write.records
    assert state_of(found).tolist() == [CONFIRMED, CONFIRMED, CLOSED]
    assert found["flags"][2] & PROVISIONAL
    lagging = proof(need(0, 3), page(0, 1, 2, 3), view(records((start(2), FORMING))), at(3, 59))
    assert buckets(lagging.write.records) == [0, 1, 2]
    behind = records((start(2), CLOSED))
    behind["volume"] = 2
    assert buckets(proof(need(0, 3), page(0, 1, 2, 3), view(behind), at(3, 59)).write.records) == [0, 1]


def test_an_unreadable_row_is_dropped_with_buckets_that_would_carry_its_close() -> None:
    found = proof(need(0, 6), page(0, 1, 4, 5, unreadable=(2,)), None, at(9))
    assert confirmed(found) == [0, 1, 4]


def test_silence_and_a_settled_response_together_prove_an_empty_bucket() -> None:
    known = view(run(B0, 3), silent=(3, 4))
    found = proof(need(2, 5), page(2), known, at(5, 59)).write.records
    found = found[state_of(found) == CONFIRMED]
    assert buckets(found) == [3], "the next has not settled"
    assert found["flags"].tolist() == [CONFIRMED | EMPTY | SILENT | GUARDED]
    assert found["close"].tolist() == [12.0]
    assert confirmed(proof(need(2, 5), page(), known, at(5, 60))) == [3, 4], "an empty response lacks them too"


def test_an_unsettled_row_proves_no_empty_bucket() -> None:
    """A late server may show a bucket that closed this minute, as it may show the open one."""
    assert confirmed(proof(need(0, 9), page(0, 1, 2, 8), None, at(9, 30))) == [0, 1, 2]


def test_silence_confirms_only_requested_buckets_and_each_once() -> None:
    known = view(run(B0, 2), silent=(2, 3, 4, 5))
    assert confirmed(proof(need(4, 5), page(), known, at(9))) == [], "before the page the close is not known yet"
    assert confirmed(proof(need(2, 3), page(), known, at(9))) == [2, 3], "nothing was requested behind it"
    early = view(run(B0, 2), silent=(2,))
    assert confirmed(proof(need(4, 5), page(), early, at(9))) == [], "nothing was requested before it"
    assert buckets(proof(need(1, 6), page(candle(start(1), close=11.0), 5, 6), known, at(9)).write.records) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_a_row_that_is_not_final_is_the_oldest_observation() -> None:
    found = proof(need(0, 3), page(0, 1, 2, 3), None, at(3, 59)).write.records
    assert found["observed_ms"].tolist() == [at(3, 59), at(3, 59), at(2)]


def test_buckets_outside_the_ring_are_not_written() -> None:
    known = view(run(start(6), 1), edge=4)
    assert buckets(proof(need(0, 6), page(0, 2, 4, 5, 6), known, at(9)).write.records) == [3, 4, 5, 6]
    assert buckets(proof(need(0, 6), page(0), known, at(9)).write.records) == []


def test_silence_proves_nothing_if_the_response_has_trades_or_the_close_before_is_unknown() -> None:
    known = view(run(B0, 3), silent=(3, 5))
    found = proof(need(2, 6), page(candle(start(2), close=12.0), 3), known, at(7)).write.records
    assert buckets(found) == [2, 3]
    assert not (found["flags"] & SILENT).any()
    assert confirmed(proof(need(2, 6), page(2), known, at(7))) == [3], "before the other one is a gap"
    assert confirmed(proof(need(2, 6), page(2, unreadable=(3,)), known, at(7))) == []


# Certain candles.


def dispute(found: PageResult) -> list[tuple[int, bool]]:
    return [((int(r["start_s"]) - B0) // STEP, not r["flags"] & EMPTY) for r in found.disputed]


def traded(bucket: int, volume: float, state: CandleState = CLOSED) -> Records:
    made = records((start(bucket), state))
    made["volume"] = volume
    return made


def small(bucket: int, volume: float) -> UnifiedCandle:
    return candle(start(bucket), volume=volume)


def test_a_response_with_more_trades_than_the_stream_saw_wins_at_once() -> None:
    for state in (CLOSED, FORMING):
        found = proof(need(0, 2), page(0, small(1, 5.0), 2), view(traded(1, 4.0, state)), at(9))
        assert found.is_trusted
        assert confirmed(found) == [0, 1]


@pytest.mark.parametrize("state", [CLOSED, CONFIRMED, FORMING])
@pytest.mark.parametrize("reply", [page(0, 2, 3), page(0, small(1, 3.0), 2, 3)], ids=["no trades", "fewer"])
def test_fewer_trades_win_only_with_a_second_response_15_minutes_later(state: CandleState, reply: Page) -> None:
    known, when = view(run(B0, 1), traded(1, 4.0, state), run(start(2), 1)), at(9)
    first = proof(need(0, 3), reply, known, when)
    assert (first.is_trusted, len(first.write.records)) == (False, 0)
    assert [b for b, _ in dispute(first)] == [1]
    soon = proof(need(0, 3), reply, known, when + 15 * 60_000 - 1, first.disputed)
    assert soon.is_trusted
    assert 1 not in buckets(soon.write.records)
    assert int(soon.disputed["observed_ms"][0]) == when, "the first one counts"
    later = proof(need(0, 3), reply, known, when + 15 * 60_000, first.disputed)
    assert 1 in confirmed(later)
    assert len(later.disputed) == 0
    assert buckets(later.overruled) == ([1] if state is CONFIRMED else [])
    gives_way = later.write.records["flags"] & GUARDED != 0
    assert buckets(later.write.records[~gives_way]) == [1], "a second response gives way to nothing"


def test_a_response_that_agrees_with_certain_candles_ends_the_dispute() -> None:
    known = view(run(B0, 1), traded(1, 4.0), run(start(2), 1))
    first = proof(need(0, 3), page(0, 2, 3), known, at(9))
    good = proof(need(0, 3), page(0, candle(start(1), volume=4.0), candle(start(2)), 3), known, at(10), first.disputed)
    assert (good.is_trusted, len(good.disputed)) == (True, 0)
    assert 1 in confirmed(good)


def test_a_dispute_survives_uncovering_responses_and_restarts_with_another_claim() -> None:
    known = view(run(B0, 1), traded(1, 4.0), run(start(2), 1))
    first = proof(need(0, 3), page(0, 2, 3), known, at(9))
    assert dispute(proof(need(0, 3), page(0), known, at(10), first.disputed)) == [(1, False)]
    other = proof(need(0, 3), page(0, small(1, 2.0), 2, 3), known, at(13), first.disputed)
    assert dispute(other) == [(1, True)]
    assert not other.is_trusted
    future = proof(need(0, 3), page(0, 2, 3), known, at(8), first.disputed)
    assert not future.is_trusted, "a claim of a time to come counts for nothing"


def test_another_price_for_the_same_volume_is_a_contradiction() -> None:
    other = page(0, candle(start(1), close=10.5, volume=4.0), 2)
    assert not proof(need(0, 2), other, view(traded(1, 4.0)), at(9)).is_trusted


@pytest.mark.parametrize(
    ("held", "shown", "agrees"), [(0.1 + 0.2, 0.3, True), (0.3, 0.1 + 0.2, True), (4.0, 3.998, False)]
)
@pytest.mark.parametrize("state", [CLOSED, CONFIRMED])
def test_volumes_may_differ_by_rounding_only(held: float, shown: float, agrees: bool, state: CandleState) -> None:
    found = proof(need(0, 2), page(0, small(1, shown), 2), view(traded(1, held, state)), at(9))
    assert found.is_trusted is agrees


@pytest.mark.parametrize("second", [small(1, 2.0), candle(start(1), close=10.5, volume=3.0)], ids=["volume", "price"])
def test_two_responses_agree_only_on_the_same_candle(second: UnifiedCandle) -> None:
    known, when = view(run(B0, 1), traded(1, 4.0), run(start(2), 1)), at(9)
    first = proof(need(0, 3), page(0, small(1, 3.0), 2, 3), known, when)
    other = proof(need(0, 3), page(0, second, 2, 3), known, when + 3_600_000, first.disputed)
    assert not other.is_trusted
    assert other.disputed["observed_ms"].tolist() == [when + 3_600_000], "it begins again with this claim"


def test_a_confirmed_candle_is_not_replaced_by_one_with_more_trades() -> None:
    for held in (traded(1, 4.0, CONFIRMED), empty(start(1), 10.0)):
        found = proof(need(0, 3), page(0, small(1, 9.0), 2, 3), view(held), at(9))
        assert not found.is_trusted
    silent = empty(start(1), 10.0)
    silent["flags"] |= SILENT
    assert 1 in confirmed(proof(need(0, 3), page(0, small(1, 9.0), 2, 3), view(silent), at(9)))


def test_a_response_of_another_product_writes_nothing() -> None:
    other = [candle(start(b), close=9.5, volume=7.0) for b in range(6)]
    found = proof(need(0, 5), page(*other), view(run(B0, 2)), at(9))
    assert (found.is_trusted, len(found.write.records)) == (False, 0)


def overruling(
    request: PageRequest, known: View, wrong: int, rows_from: int = 0, unreadable: tuple[int, ...] = ()
) -> PageResult:
    """The result of a second response with another close in bucket `wrong`; otherwise it equals `known`.

    Its rows begin with bucket `rows_from`.
    """
    claim = records((start(wrong), CONFIRMED, 10.4, at(30)))
    first, last = buckets(np.array([(request.first_s,), (request.last_s,)], dtype=[("start_s", "u4")]))
    readable = [b for b in range(max(first, rows_from), last + 1) if b not in unreadable]
    rows = [candle(start(b), close=10.4 if b == wrong else 10.0 + b % 7) for b in readable]
    found = proof(request, page(*rows, unreadable=unreadable), known, at(60), claim)
    assert buckets(found.overruled) == [wrong]
    return found


def seen(first: int, count: int, now_ms: int) -> Records:
    held = run(B0, first + count)[first:]
    held["observed_ms"] = now_ms
    return held


def test_a_correction_at_the_edge_of_a_page_marks_candles_beyond_it() -> None:
    apart = [seen(b, 5, at(100 + 10 * b)) for b in range(0, 30, 5)]
    known, request = view(*apart), need(10, 24)
    assert overruling(request, known, 11).provisional_ranges(request, known) == [(start(0), start(9))]
    assert overruling(request, known, 17).provisional_ranges(request, known) == []
    assert overruling(request, known, 22).provisional_ranges(request, known) == [(start(25), start(29))]


def test_a_correction_marks_candles_confirmed_within_15_minutes_of_the_wrong_one() -> None:
    """The same server may have sent them, on either side of candles that other responses have brought since."""
    when, quarter_ms = at(200), 900_000
    late, early = seen(0, 3, when + quarter_ms), seen(3, 1, when + quarter_ms + 1)
    closed, right = seen(4, 1, when), seen(5, 10, when + 10 * quarter_ms)
    closed["flags"] = CLOSED
    known = view(late, early, closed, right, seen(15, 5, when), seen(20, 8, when - quarter_ms))
    request = need(5, 22)
    assert overruling(request, known, 16).provisional_ranges(request, known) == [
        (start(0), start(2)),
        (start(23), start(27)),
    ]
    assert overruling(request, known, 12).provisional_ranges(request, known) == []


def test_an_unproven_bucket_of_the_page_is_marked_like_one_outside() -> None:
    known, request = view(seen(0, 25, at(200))), need(5, 22)
    beyond = [(start(0), start(4)), (start(23), start(24))]
    assert overruling(request, known, 16).provisional_ranges(request, known) == beyond
    short = overruling(request, known, 16, rows_from=8, unreadable=(13,))
    assert short.provisional_ranges(request, known) == [
        (start(0), start(7)),
        (start(13), start(13)),
        (start(23), start(24)),
    ]


def test_wrong_candles_of_several_times_mark_candles_around_each() -> None:
    quarter_ms = 900_000
    when = at(200), at(200) + 10 * quarter_ms
    wrong = [seen(10, 1, when[0]), seen(11, 1, when[1])]
    near = [seen(20, 1, when[0] + quarter_ms), seen(21, 1, when[1] - quarter_ms), seen(22, 1, when[1] + quarter_ms)]
    far = [seen(30, 1, when[0] - quarter_ms - 1), seen(31, 1, when[0] + quarter_ms + 1), seen(32, 1, at(0))]
    known, request = view(*wrong, *near, *far), need(0, 40)
    found = PageResult(Write(series(), wrong[0]), NONE, np.concatenate(wrong), NONE, is_trusted=True)
    assert found.provisional_ranges(request, known) == [(start(11), start(11)), (start(20), start(22))]


def test_an_empty_bucket_that_carries_another_close_is_not_a_contradiction() -> None:
    found = proof(need(0, 3), page(candle(B0, close=10.5), 2, 3), view(empty(start(1), 10.0)), at(9))
    assert found.is_trusted
    assert found.write.records["close"][1] == 10.5


# Candles missing in a later response.


def thin(*bought: int, count: int = 20) -> Records:
    """Confirmed buckets 0 to `count` - 1; those in `bought` have trades, at a price of 10 plus their number."""
    parts, close = [], 10.0
    for b in range(count):
        close = 10.0 + b if b in bought else close
        parts.append(small_run(b, close) if b in bought else empty(start(b), close))
    return np.concatenate(parts)


def small_run(bucket: int, close: float) -> Records:
    return to_records([candle(start(bucket), close=close, volume=4.0, state=CONFIRMED)])


def test_confirmed_candles_missing_in_a_response_are_marked_with_those_that_carry_them() -> None:
    known, request = view(thin(0, 10, 15)), need(5, 20)
    late = proof(request, page(), known, at(21))
    assert late.is_trusted
    assert len(late.write.records) == 0, "it may be late: nothing is taken back"
    assert late.provisional_ranges(request, known) == [(start(0), start(19))], (
        "and the one before the page, of the same answer"
    )
    held = page(candle(start(10), close=20.0, volume=4.0), 21)
    assert proof(request, held, known, at(22)).provisional_ranges(request, known) == [(start(15), start(19))]
    both = page(candle(start(10), close=20.0, volume=4.0), candle(start(15), close=25.0, volume=4.0))
    assert proof(request, both, known, at(21)).provisional_ranges(request, known) == []


def test_candles_younger_than_15_minutes_are_not_marked() -> None:
    known, request = view(thin(0, 10)), need(0, 20)
    ended = at(11)
    reply = page(candle(start(0), close=10.0, volume=4.0))
    assert proof(request, reply, known, ended + 899_999).provisional_ranges(request, known) == []
    assert proof(request, reply, known, ended + 900_000).provisional_ranges(request, known) == [(start(10), start(19))]


def test_unconfirmed_newer_and_unrequested_candles_are_not_marked() -> None:
    known, request, when = view(thin(0, 10)), need(5, 20), at(25)
    closed, since = thin(0, 10), thin(0, 10)
    closed["flags"][10] = CLOSED
    since["observed_ms"] = when + 1
    for other in (closed, since):
        assert proof(request, page(), view(other), when).provisional_ranges(request, view(other)) == []
    assert proof(need(11, 20), page(), known, when).provisional_ranges(need(11, 20), known) == []
    unreadable = page(unreadable=(10,))
    assert proof(request, unreadable, known, when).provisional_ranges(request, known) == []


def test_a_last_row_that_differs_marks_candles_though_it_may_be_partial() -> None:
    known, request = view(thin(0, 10)), need(0, 20)
    for last in (candle(start(10), close=20.0, volume=3.0), candle(start(10), close=10.5, volume=4.0)):
        reply = page(candle(start(0), close=10.0, volume=4.0), last)
        assert proof(request, reply, known, at(25)).provisional_ranges(request, known) == [(start(10), start(19))]


def test_silence_behind_a_provisional_candle_is_provisional_until_that_is_confirmed() -> None:
    held = thin(0, 10, count=12)
    held["flags"][11] |= SILENT
    known, request = view(held, silent=(12,)), need(5, 20)
    late = proof(request, page(), known, at(20)).write.records
    assert buckets(late) == [11, 12]
    assert late["flags"].tolist() == [CONFIRMED | EMPTY | SILENT | PROVISIONAL | GUARDED] * 2
    held["flags"][10:] |= PROVISIONAL
    behind = empty(start(12), 20.0)
    behind["flags"] |= SILENT | PROVISIONAL
    known = view(held, behind)
    good = proof(request, page(candle(start(10), close=20.0, volume=4.0), 13), known, at(20)).write.records
    assert [f & ~GUARDED for f in good["flags"].tolist()[:3]] == [CONFIRMED, CONFIRMED | EMPTY, CONFIRMED | EMPTY]
    last = proof(request, page(candle(start(10), close=20.0, volume=4.0)), known, at(20)).write.records
    assert buckets(last) == [10, 11, 12]
    assert (last["flags"] & PROVISIONAL).all(), "a last row confirms nothing"


def test_buckets_that_would_carry_a_disputed_close_are_not_written() -> None:
    known, when = view(thin(0, 3, count=8)), at(20)
    reply = page(candle(start(0), close=10.0, volume=4.0), candle(start(6), close=11.0), 7)
    claim = empty(start(3), 10.0, CONFIRMED, when - 60_000)
    found = proof(need(0, 7), reply, known, when, claim)
    assert not found.is_trusted, "the row of 6 is new"
    claims = np.concatenate([claim, to_records([candle(start(6), close=11.0, observed_ms=when - 60_000)])])
    found = proof(need(0, 7), reply, known, when, claims)
    assert found.is_trusted
    assert confirmed(found) == [0, 1, 2]
    between = page(*(candle(start(b), close=10.0 + b, volume=4.0) for b in (0, 6, 8)))
    found = proof(need(0, 8), between, view(thin(0, 3, 6, count=9)), when, claim)
    assert confirmed(found) == [0, 1, 2, 6, 7], "behind a row of its own it is sure"


# Origins.


def test_a_response_with_the_oldest_trade_that_reaches_the_ring_s_edge_claims_an_origin() -> None:
    known = view(run(start(5), 3), edge=0)
    sixth, seventh = (candle(start(b), close=5.0 + b) for b in (6, 7))
    assert proof(need(0, 5), page(5), known, at(9)).write.origin == Origin(start(5), at(9) // 1000, 1)
    assert proof(need(1, 5), page(5), known, at(9)).write.origin is None, "it does not reach back far enough"
    assert proof(need(0, 5), page(), known, at(9)).write.origin is None, "it holds nothing"
    later = proof(need(0, 8), page(sixth, seventh), known, at(12))
    assert (later.is_trusted, later.write.origin) == (True, None), "nor the oldest trade that is known"
    edge = proof(need(5, 8), page(5, sixth), known._replace(from_s=start(3)), at(12))
    assert (edge.is_trusted, edge.write.origin) == (True, None), "it was not requested before that trade"


def test_a_second_response_15_minutes_later_proves_it_and_an_older_row_withdraws_it() -> None:
    claimed = Origin(start(5), at(9) // 1000, 1)
    known = view(run(start(5), 3), edge=0, origin=claimed)
    assert proof(need(0, 5), page(5), known, at(11)).write.origin is None
    proven = proof(need(0, 5), page(5), known, at(12)).write.origin
    assert proven == Origin(start(5), at(12) // 1000, 2)
    assert proven.is_proven
    assert not claimed.is_proven
    older = proof(need(0, 5), page(3, 5), known._replace(origin=proven), at(99)).write
    assert older.origin == Origin(start(3), at(99) // 1000, 1)
    assert older.known_origin_s == start(5)
    far = proof(need(1, 5), page(3, 5), known._replace(origin=proven), at(99)).write.origin
    assert far == Origin(start(3), 0, 0)


def test_an_origin_out_of_the_ring_moves_forward_only_by_two_responses() -> None:
    known = view(run(start(5), 3), edge=0, origin=Origin(start(-50), at(-40) // 1000, 3))
    moved = proof(need(0, 5), page(5), known, at(9)).write.origin
    assert moved == Origin(start(5), at(9) // 1000, 1)


def test_a_response_from_the_future_does_not_count() -> None:
    known = view(run(start(5), 3), edge=0, origin=Origin(start(5), at(99) // 1000, 1))
    assert proof(need(0, 5), page(5), known, at(9)).write.origin == Origin(start(5), at(9) // 1000, 1)


def test_a_page_of_the_longest_timeframe_need_not_reach_the_ring_s_edge() -> None:
    day, first = 86_400, B0 // 86_400 * 86_400
    held = run(first, 3, step=day)
    known = View(held, 1, NO_ORIGIN, first - 900 * day)
    request = PageRequest(D1, first - 300 * day, first + 2 * day)
    rows = [candle(int(s), close=10.0 + i, timeframe=D1) for i, s in enumerate(held["start_s"])]
    found = interpret(
        series(timeframe=D1), request, Page.between_rows(rows, day), known, NONE, (first + 9 * day) * 1000, RULES
    )
    assert found.write.origin == Origin(first, first + 9 * day, 1)


def test_the_first_response_without_a_trade_is_recorded() -> None:
    never = view(revision=0)
    assert proof(need(0, 9), page(), never, at(9)).write.origin == Origin(0, at(9) // 1000, 1)


# Surveys.


def quarter(bucket: int, volume: float = 3.0, close: float = 10.0) -> UnifiedCandle:
    """The candle of 15m that holds bucket number `bucket`."""
    return candle(M15.bucket(start(bucket)), timeframe=M15, volume=volume, close=close)


FIRST = next(b for b in range(3) if start(b) % 900 == 0)
"""The first bucket that begins one of 15m."""


def survey(known: View, rows: list[UnifiedCandle], last: int, edge: int = -900) -> tuple[list[int], Origin | None]:
    write = survey_proof(known, rows, last, edge).write
    return buckets(write.records), write.origin


def survey_proof(
    known: View, rows: list[UnifiedCandle], last: int, edge: int = -900, disputed: Records = NONE, now_ms: int = 0
) -> PageResult:
    request = PageRequest(M15, M15.bucket(start(edge)), M15.bucket(start(last)))
    page = Page.between_rows(rows, 900)
    return interpret_survey(series(), request, page, known, disputed, now_ms or at(last, 100), RULES)


def test_a_longer_bucket_missing_in_a_survey_is_empty_as_a_whole() -> None:
    f = FIRST
    known = view(run(start(f), 3), run(start(f + 900), 4))
    rows = [quarter(f), quarter(f + 900), quarter(f + 903)]
    found, _ = survey(known, rows, f + 906)
    assert found == list(range(f + 3, f + 900))


def test_missing_parts_of_a_longer_bucket_are_empty_if_known_candles_have_all_its_volume() -> None:
    f = FIRST
    known = view(run(start(f), 1), run(start(f + 8), 1), run(start(f + 9), 3))
    rows = [quarter(f, 1.0, 10.0), quarter(f + 6, 1.0, 10.0), quarter(f + 9), quarter(f + 12)]
    assert survey(known, rows, f + 15)[0] == [f + 1, f + 2, *range(f + 3, f + 8)]
    more = [quarter(f, 1.5, 10.0), *rows[1:]]
    assert survey(known, more, f + 15)[0] == list(range(f + 3, f + 8)), "somebody traded there"


def test_a_survey_without_the_oldest_known_trade_claims_no_origin() -> None:
    f = FIRST
    known = view(run(start(f + 3), 1), run(start(f + 10), 1), run(start(f + 12), 3), edge=f)
    rows = [quarter(f + 9, 1.0, 10.0), quarter(f + 12), quarter(f + 15)]
    assert survey(known, rows, f + 18, edge=f)[1] is None


def test_a_survey_empties_no_longer_bucket_in_which_trades_are_known() -> None:
    f = FIRST
    ends = (quarter(f), quarter(f + 9), quarter(f + 12))
    sides = (run(start(f), 3), run(start(f + 9), 3))
    assert survey(view(*sides), list(ends), f + 15)[0] == list(range(f + 3, f + 9))
    assert survey(view(*sides, run(start(f + 4), 1)), list(ends), f + 15)[0] == [f + 6, f + 7, f + 8]
    forming = view(*sides, records((start(f + 4), FORMING)))
    assert survey(forming, list(ends), f + 15)[0] == [f + 3, *range(f + 5, f + 9)]


def test_a_survey_disputes_provisional_trades_of_an_empty_longer_bucket_and_overrules_them() -> None:
    f = FIRST
    ends = [quarter(f), quarter(f + 9), quarter(f + 12)]
    wrong = run(start(f + 4), 1)
    wrong["flags"] |= PROVISIONAL
    known, when = view(run(start(f), 3), run(start(f + 9), 3), wrong), at(f + 15, 100)
    first = survey_proof(known, ends, f + 15)
    assert not first.is_trusted
    assert buckets(first.disputed) == [f + 4]
    assert (len(first.write.records), first.write.origin) == (0, None)
    soon = survey_proof(known, ends, f + 15, disputed=first.disputed, now_ms=when + 899_999)
    assert buckets(soon.write.records) == [f + 3], "what lies behind it may carry its close"
    later = survey_proof(known, ends, f + 15, disputed=first.disputed, now_ms=when + 900_000)
    assert buckets(later.write.records) == list(range(f + 3, f + 9))
    assert buckets(later.overruled) == [f + 4]
    assert len(later.disputed) == 0


def test_a_disputed_survey_claims_no_origin() -> None:
    f = FIRST
    ends = [quarter(f + 6, 1.0), quarter(f + 15), quarter(f + 18)]
    sides, wrong = (run(start(f + 7), 1), run(start(f + 15), 3)), run(start(f + 10), 1)
    assert survey_proof(view(*sides, edge=f), ends, f + 21, edge=f).write.origin is not None
    wrong["flags"] |= PROVISIONAL
    assert survey_proof(view(*sides, wrong, edge=f), ends, f + 21, edge=f).write.origin is None


def test_a_longer_candle_with_another_close_has_unknown_trades() -> None:
    f = FIRST
    known = view(run(start(f), 1), run(start(f + 3), 3))
    rows = [quarter(f, 1.0, 10.5), quarter(f + 3), quarter(f + 6)]
    assert survey(known, rows, f + 9)[0] == []


def test_a_survey_writes_nothing_outside_the_ring() -> None:
    f = FIRST
    known = view(run(start(f), 3), run(start(f + 30), 3), edge=f + 11)
    found, _ = survey(known, [quarter(f), quarter(f + 30), quarter(f + 33)], f + 36, edge=f)
    assert found == list(range(f + 10, f + 30))


def test_a_survey_proves_an_origin_only_if_the_oldest_trade_is_known() -> None:
    f = FIRST
    rows = [quarter(f + 9, 1.0, 10.0), quarter(f + 12), quarter(f + 15)]
    known = view(run(start(f + 10), 1), run(start(f + 12), 3), edge=f)
    assert survey(known, rows, f + 18, edge=f)[1] == Origin(start(f + 10), at(f + 18, 100) // 1000, 1)
    hidden = [quarter(f + 9, 2.0, 10.0), *rows[1:]]
    assert survey(known, hidden, f + 18, edge=f)[1] is None
    assert survey(known, [quarter(f + 3), *rows], f + 18, edge=f)[1] is None


# Everything together.

TRUTH = st.lists(st.floats(0.0, 5.0).map(lambda v: round(v, 1)), min_size=30, max_size=30)


@given(TRUTH, st.data())
def test_late_short_and_empty_responses_never_make_traded_buckets_empty(
    truth: list[float], data: st.DataObject
) -> None:
    """For any late or short responses about a true market, all written candles are true."""
    candles = [candle(start(b), volume=v) for b, v in enumerate(truth) if v]
    held: dict[int, Records] = {}
    when = 30
    for _ in range(data.draw(st.integers(1, 6))):
        first = data.draw(st.integers(0, 29))
        late = data.draw(st.integers(0, 31))
        rows = [c for c in candles if first * STEP <= c.start_s - B0 <= (29 - late) * STEP]
        rows = rows[data.draw(st.integers(0, len(rows))) :] if data.draw(st.booleans()) else rows
        known = view(*(held[b].reshape(1) for b in sorted(held)))
        found = interpret(series(), need(first, 30), Page.between_rows(rows, STEP), known, NONE, at(when, 70), RULES)
        assert found.is_trusted
        for record in found.write.records:
            bucket = (int(record["start_s"]) - B0) // STEP
            assert bool(record["flags"] & EMPTY) == (truth[bucket] == 0)
            held[bucket] = record
        when += data.draw(st.integers(0, 5))
    whole = to_records(candles)
    assert len(whole) == sum(map(bool, truth))
