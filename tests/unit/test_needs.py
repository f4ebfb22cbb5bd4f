"""What is asked of REST, and what its answers prove."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.cache.model import View
from app.candles import State
from app.records import PROVISIONAL, Records, has_trades, state_of
from app.repair.needs import ANCHOR, PAGE, Need, Proof, Rules, left_to_ask, need_of, page_of_reconciliation, prove
from app.timeframes import Timeframe
from tests.build import B0, STEP, candle, empty, records, run, series

M5 = Timeframe.M5
RULES = Rules(grace_s=2, settling_s=60)
CLOSED, CONFIRMED, FORMING = State.CLOSED, State.CONFIRMED, State.FORMING


def view(*parts: Records, origin_s: int = B0, from_s: int = B0 - 1000 * STEP) -> View:
    return View(np.concatenate([run(B0, 0), *parts]), 1, origin_s, from_s)


def at(bucket: int, seconds: float = 0.0) -> float:
    """Exchange time, `seconds` after the start of bucket number `bucket`."""
    return B0 + bucket * STEP + seconds


def test_a_series_that_was_never_asked_for_needs_its_newest_page() -> None:
    need = need_of(view(origin_s=0), M5, at(10, 30), RULES)
    assert need == Need(B0 + (9 - PAGE + 1) * STEP, B0 + 9 * STEP, seed=True)


def test_the_open_bucket_and_the_grace_are_left_to_the_stream() -> None:
    known = view(run(B0, 9))
    assert need_of(known, M5, at(10, 1.9), RULES) is None
    assert need_of(known, M5, at(10, 2.0), RULES) == Need(B0 + 8 * STEP, B0 + 9 * STEP), "and an anchor"


def test_missing_and_forming_buckets_become_one_page() -> None:
    known = view(run(B0, 3), records((B0 + 4 * STEP, FORMING)), run(B0 + 6 * STEP, 2))
    assert need_of(known, M5, at(8, 5), RULES) == Need(B0 + 2 * STEP, B0 + 5 * STEP)


def test_a_page_has_at_most_350_buckets_and_the_oldest_come_first() -> None:
    assert need_of(view(run(B0, 1)), M5, at(1000, 5), RULES) == Need(B0, B0 + (PAGE - 1) * STEP)


def test_nothing_is_asked_that_the_ring_no_longer_reaches() -> None:
    known = view(from_s=B0 + 50 * STEP)
    assert need_of(known, M5, at(60, 5), RULES) == Need(B0 + 52 * STEP, B0 + 59 * STEP)


def test_a_question_reaches_back_to_the_last_candle_that_rest_confirmed() -> None:
    known = view(run(B0, 3), run(B0 + 3 * STEP, 1, CLOSED), empty(B0 + 4 * STEP, 10.0))
    assert need_of(known, M5, at(6, 5), RULES) == Need(B0 + 2 * STEP, B0 + 5 * STEP)
    assert need_of(view(run(B0, 1)), M5, at(20, 5), RULES) == Need(B0, B0 + 19 * STEP)
    far = view(run(B0, 1), *(empty(B0 + i * STEP, 10.0) for i in range(1, 9)))
    assert need_of(far, M5, at(10, 5), RULES) == Need(B0 + 9 * STEP, B0 + 9 * STEP), "not further than it is worth"


def test_the_bucket_before_a_gap_is_confirmed_with_it_if_only_the_stream_vouched_for_it() -> None:
    known = view(run(B0 + 3 * STEP, 1, CLOSED))
    assert need_of(known, M5, at(5, 5), RULES) == Need(B0, B0 + 2 * STEP)
    last = view(run(B0, 4, CLOSED))
    assert need_of(last, M5, at(6, 5), RULES) == Need(B0 + 3 * STEP, B0 + 5 * STEP)


def test_unsettled_candles_are_asked_for_once_more_when_they_have_settled() -> None:
    early = run(B0 + 5 * STEP, 1, CLOSED)
    early["flags"] |= PROVISIONAL
    known = view(run(B0, 5), early)
    assert need_of(known, M5, at(6, 59), RULES) is None
    assert left_to_ask(known, M5, at(6, 59), RULES) == at(6, 60)
    assert need_of(known, M5, at(6, 60), RULES) == Need(B0 + 4 * STEP, B0 + 5 * STEP)


def test_what_is_left_is_asked_for_when_it_has_settled() -> None:
    assert left_to_ask(view(run(B0, 6)), M5, at(6, 30), RULES) is None
    assert left_to_ask(view(run(B0, 5)), M5, at(6, 30), RULES) == at(6, 60)
    assert left_to_ask(view(origin_s=0), M5, at(6, 30), RULES) == at(6, 60)


def test_a_settled_answer_proves_candles_and_empty_buckets() -> None:
    need = Need(B0, B0 + 3 * STEP)
    page = [candle(B0, 10.5), candle(B0 + 2 * STEP, 10.2)]
    proof = prove(series(), need, page, view(run(B0 - STEP, 1)), int(at(4, 60) * 1000), RULES)
    found = proof.write.records
    assert found["start_s"].tolist() == [B0 + i * STEP for i in range(4)]
    assert set(state_of(found).tolist()) == {CONFIRMED}
    assert has_trades(found).tolist() == [True, False, True, False]
    assert found["close"].tolist() == [10.5, 10.5, 10.2, 10.2]
    assert proof.write.origin_s is None


def test_a_young_answer_closes_candles_and_proves_nothing_empty() -> None:
    need = Need(B0, B0 + 2 * STEP)
    proof = prove(series(), need, [candle(B0 + STEP)], view(run(B0 - STEP, 1)), int(at(3, 59) * 1000), RULES)
    found = proof.write.records
    assert found["start_s"].tolist() == [B0, B0 + STEP], "the newest bucket is absent, and that proves nothing"
    assert state_of(found).tolist() == [CONFIRMED, CONFIRMED]
    proof = prove(series(), need, [candle(B0 + 2 * STEP)], view(run(B0 - STEP, 1)), int(at(3, 59) * 1000), RULES)
    newest = proof.write.records[-1]
    assert newest["flags"] == CLOSED | PROVISIONAL
    assert newest["observed_ms"] == (B0 + 2 * STEP) * 1000, "any word of the stream replaces it"


def test_a_young_answer_that_lags_behind_the_stream_is_not_taken() -> None:
    seen = records((B0, FORMING))
    seen["volume"] = 5
    proof = prove(series(), Need(B0, B0), [candle(B0, volume=4.0)], view(seen), int(at(1, 30) * 1000), RULES)
    assert len(proof.write.records) == 0


def test_a_series_begins_with_its_first_trade() -> None:
    need = Need(B0, B0 + 9 * STEP, seed=True)
    proof = prove(series(), need, [candle(B0 + 4 * STEP)], view(origin_s=0), int(at(20) * 1000), RULES)
    assert proof.write.origin_s == B0 + 4 * STEP
    assert proof.write.records["start_s"].tolist() == [B0 + i * STEP for i in range(4, 10)]


def test_a_series_without_any_trade_begins_behind_what_was_asked() -> None:
    need = Need(B0, B0 + 9 * STEP, seed=True)
    proof = prove(series(), need, [], view(origin_s=0), int(at(20) * 1000), RULES)
    assert proof.write.origin_s == B0 + 10 * STEP
    assert len(proof.write.records) == 0


def test_an_answer_that_takes_trades_away_says_so() -> None:
    seen = view(run(B0 - STEP, 1), run(B0, 2, CLOSED))
    proof = prove(series(), Need(B0, B0 + STEP), [candle(B0)], seen, int(at(9) * 1000), RULES)
    assert proof.contradicted == [B0 + STEP]


def test_an_answer_that_differs_from_what_was_confirmed_says_so() -> None:
    need, page = Need(B0, B0 + 2 * STEP), [candle(B0, 10.5), candle(B0 + STEP, 10.5), candle(B0 + 2 * STEP, 10.5)]
    seen = view(records((B0, CONFIRMED, 10.5), (B0 + STEP, CLOSED, 9.5), (B0 + 2 * STEP, CONFIRMED, 9.5)))
    proof = prove(series(), need, page, seen, int(at(9) * 1000), RULES)
    assert proof.contradicted == [B0 + 2 * STEP], "a close of the stream may be wrong"
    rounded = [candle(B0, 10.5, volume=1.0 + 1e-12)]
    proof = prove(series(), Need(B0, B0), rounded, seen, int(at(9) * 1000), RULES)
    assert proof.contradicted == [], "a sum of volumes is rounded"


def test_what_is_wrong_at_the_beginning_of_a_page_may_go_on_before_it() -> None:
    need, seen = Need(B0, B0 + 19 * STEP), view(records(*((B0 + i * STEP, CONFIRMED) for i in range(20))))

    def proof_with(wrong: int) -> Proof:
        page = [candle(B0 + i * STEP, 10.0 + (i == wrong)) for i in range(20)]
        return prove(series(), need, page, seen, int(at(30) * 1000), RULES)

    assert proof_with(0).reaches_back(need)
    assert proof_with(ANCHOR - 1).reaches_back(need), "empty buckets say nothing, so the oldest few count"
    assert not proof_with(ANCHOR).reaches_back(need)
    assert not proof_with(20).reaches_back(need)


def test_reconciliation_asks_for_the_newest_settled_page_known_or_not() -> None:
    whole = view(run(B0, 500))
    settled = RULES.settled(M5, at(500, 61))
    assert page_of_reconciliation(whole, M5, settled) == Need(B0 + 150 * STEP, B0 + 499 * STEP)
    assert page_of_reconciliation(view(run(B0, 3)), M5, B0 + 2 * STEP) == Need(B0, B0 + 2 * STEP)
    assert page_of_reconciliation(view(origin_s=0), M5, settled) is None


buckets = st.sets(st.integers(0, 59))


@given(buckets, buckets, st.integers(2, 299))
def test_asking_ends_and_then_every_bucket_is_known_as_it_was(known: set[int], traded: set[int], seconds: int) -> None:
    """Whatever the cache has and whatever the exchange has: asking ends, never twice for what was settled."""
    traded |= known
    end_s = now_s = at(60, seconds)
    held = view(*(run(B0 + i * STEP, 1) for i in sorted(known)))
    confirmed: set[int] = set()
    while True:
        need = _need(held, now_s, end_s)
        if need is not None:
            asked = set(range(need.first_s, need.last_s + 1, STEP))
            assert asked - confirmed, "everything was asked for after REST had confirmed it"
            assert len(asked & confirmed) <= ANCHOR
            page = [candle(b) for b in sorted(asked) if (b - B0) // STEP in traded]
            write = prove(series(), need, page, held, int(now_s * 1000), RULES).write
            confirmed |= {int(r["start_s"]) for r in write.records if r["flags"] & 3 == CONFIRMED}
            merged = {int(r["start_s"]): r for r in [*held.records, *write.records]}
            held = view(*(merged[b].reshape(1) for b in sorted(merged)), origin_s=write.origin_s or held.origin_s)
        due_s = left_to_ask(held, M5, end_s, RULES)
        if due_s is None:
            break
        assert need is not None or due_s > now_s, "nothing is asked and nothing is waited for"
        now_s = max(now_s, due_s)
    known_at_last = {int(r["start_s"]): bool(t) for r, t in zip(held.records, has_trades(held.records), strict=True)}
    first = (held.origin_s - B0) // STEP
    assert known_at_last == {B0 + i * STEP: i in traded for i in range(first, 60)}
    assert not any(i < first for i in traded)


def _need(held: View, now_s: float, end_s: float) -> Need | None:
    """What is asked at `now_s` of the buckets that were over at `end_s`; the stream sees to those after."""
    need, newest = need_of(held, M5, now_s, RULES), RULES.newest(M5, end_s)
    return None if need is None or need.first_s > newest else Need(need.first_s, min(need.last_s, newest))
