"""Evaluation bar by bar: once, in order, and again only if its candles have changed."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from app.alerts import engine as watching
from app.alerts.engine import Evaluation, RuleEngine, window_at
from app.alerts.fingerprint import LATE_BARS, RECENT_BARS
from app.indicators.macdv import MacdvSeries, macdv_of, macdv_of_many
from app.indicators.window import WINDOW
from app.market.candles import CandleState
from app.market.records import CORRECTED, PROVISIONAL, RECORD, Records
from app.market.timeframes import Timeframe
from app.storage.alert_changes import AlertCursor
from tests.alerting import alert_settings
from tests.filled import walk

T0 = 1_614_816_000
WATCH = RuleEngine(
    alert_settings('[[alerts.rule]]\nname = "p"\nkind = "price"\nproducts = ["A-USD"]\nprices = [100]\n')
)
BARS = 120


def market(bars: int = BARS) -> Records:
    """Closes that cross 100 at every bar: 101 at even ones, 99 at odd ones."""
    records = np.zeros(bars, RECORD)
    records["start_s"] = T0 + 300 * np.arange(bars)
    records["flags"] = CandleState.CLOSED
    close = np.where(np.arange(bars) % 2, 99.0, 101.0)
    records["open"], records["close"], records["high"], records["low"] = close, close, 102, 98
    return records


def evaluate(records: Records, before: AlertCursor | None, begin_s: int = T0) -> Evaluation:
    """`begin_s`: start of the exchange's history; 0 if unknown."""
    window = window_at(records, len(records) - 1, Timeframe.M5)
    return WATCH.evaluate("A-USD", Timeframe.M5, records, macdv_of(window), before, begin_s)


def watched_since(records: Records, bars: int = 80) -> AlertCursor:
    """The cursor after a first evaluation of `bars`, and one of all of them."""
    return evaluate(records, evaluate(records[:bars], None).cursor).cursor


def number(start_s: int) -> int:
    return (start_s - T0) // 300


def found(seen: Evaluation) -> list[int]:
    """Bars, as numbers."""
    return [number(f.start_s) for f in seen.findings]


def judged(seen: Evaluation) -> list[int]:
    return [bar for first_s, last_s in seen.judged for bar in range(number(first_s), number(last_s) + 1)]


def provisional(records: Records, *bars: int) -> Records:
    """The same with these bars provisional."""
    marked = records.copy()
    marked["flags"][list(bars)] |= PROVISIONAL
    return marked


def corrected(records: Records, bar: int) -> Records:
    """The same with another close of `bar` that does not cross."""
    other = records.copy()
    other["close"][bar], other["flags"][bar] = other["close"][bar - 1], CandleState.CLOSED | CORRECTED
    return other


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of windows that each evaluation has computed, without the newest one, which it is given."""
    counts: list[int] = []

    def counted(batch: Sequence[Records]) -> list[MacdvSeries]:
        counts.append(len(batch))
        return macdv_of_many(batch)

    monkeypatch.setattr(watching, "macdv_of_many", counted)
    return counts


def test_the_first_evaluation_is_a_baseline() -> None:
    seen = evaluate(market(80), None)
    assert seen.findings == []
    assert seen.cursor.baseline_s == seen.cursor.evaluated_s == T0 + 300 * 79


def test_each_later_bar_is_judged_with_the_candles_up_to_its_close() -> None:
    records = market()
    one_by_one, cursor = [], evaluate(records[:80], None).cursor
    for bars in range(81, BARS + 1):
        seen = evaluate(records[:bars], cursor)
        one_by_one += found(seen)
        cursor = seen.cursor
    at_once = evaluate(records, evaluate(records[:80], None).cursor)
    # Alternating bars: each event comes back after two, and a cooldown of three hides every other one.
    assert one_by_one == found(at_once) == [n for n in range(80, BARS) if n % 4 in (1, 2)]
    assert cursor == at_once.cursor


def test_a_bar_is_judged_once() -> None:
    records = market()
    again = evaluate(records, watched_since(records))
    assert again.findings == []
    assert again.judged == []


def test_a_correction_judges_only_the_newest_bar_again() -> None:
    records = market()
    cursor = watched_since(records)
    records["flags"][50] |= CORRECTED
    again = evaluate(records, cursor)
    assert again.has_changed
    assert judged(again) == [BARS - 1]
    assert not evaluate(records, again.cursor).has_changed


def test_a_correction_never_judges_history() -> None:
    records = market(80)
    cursor = evaluate(records, None).cursor
    records["flags"][79] |= CORRECTED
    assert evaluate(records, cursor).findings == []


def test_a_change_is_seen_although_other_bars_have_come_with_it() -> None:
    records = market()
    cursor = watched_since(records[:-3])
    records["flags"][110] |= CORRECTED
    assert judged(evaluate(records, cursor)) == [BARS - 4, BARS - 3, BARS - 2, BARS - 1]


def test_a_candle_dropped_by_the_ring_is_not_a_change() -> None:
    records = market(700)
    records["flags"][[100, 300]] |= CORRECTED
    cursor = watched_since(records[100:698], 500)
    assert not evaluate(records[202:], cursor).has_changed


@pytest.mark.parametrize("closes_at_once", [True, False])
def test_live_bars_that_close_before_their_history_comes_are_judged_when_it_does(closes_at_once: bool) -> None:
    records = market()
    cursor = evaluate(records[80:81], None, 0).cursor
    for bars in [BARS] if closes_at_once else range(82, BARS + 1):
        cursor = evaluate(records[80:bars], cursor, 0).cursor
    assert number(cursor.pending_s) == 81
    for first in (60, 20, 0):  # page by page, the newest first
        seen = evaluate(records[first:], cursor, 0)
        assert judged(seen) == list(range(81, BARS))
        cursor = seen.cursor
    assert found(seen) == found(evaluate(records, evaluate(records[:81], None).cursor))


def test_a_missing_history_is_waited_for_as_long_as_a_gap() -> None:
    records = market(100 + LATE_BARS)
    cursor = evaluate(records[:80], None, 0).cursor
    waiting = evaluate(records[: 81 + LATE_BARS], cursor, 0).cursor
    assert number(waiting.pending_s) == 80
    assert number(evaluate(records, waiting, 0).cursor.pending_s) == 99


def test_a_series_that_begins_there_waits_for_no_history() -> None:
    records = market()
    cursor = watched_since(records)
    assert cursor.pending_s == cursor.evaluated_s
    assert number(evaluate(records, evaluate(records[:80], None, 0).cursor, 0).cursor.pending_s) == 80
    assert evaluate(records, cursor, 0).cursor.pending_s == cursor.pending_s, "what is done with stays so"


def test_bars_behind_a_gap_are_judged_when_it_is_filled() -> None:
    records = market()
    cursor = evaluate(records[:80], None).cursor
    seen = evaluate(np.delete(records, [90]), cursor)
    assert number(seen.cursor.pending_s) == 90
    filled = evaluate(records, seen.cursor)
    assert judged(filled) == list(range(90, BARS))
    assert {90, 91} & set(found(filled))
    assert number(filled.cursor.pending_s) == BARS - 1


def test_a_gap_filled_from_its_older_end_is_judged_from_there() -> None:
    records = market()
    cursor = evaluate(np.delete(records, range(100, 115)), evaluate(records[:80], None).cursor).cursor
    assert judged(evaluate(np.delete(records, range(106, 115)), cursor)) == [*range(100, 106), *range(115, BARS)]


def test_a_gap_is_waited_for_with_many_bars_behind_it_up_to_a_limit() -> None:
    records, cursor = market(100 + LATE_BARS), evaluate(market(80), None).cursor
    for bars in (91, 200, 86 + LATE_BARS):
        cursor = evaluate(np.delete(records[:bars], [85, 86]), cursor).cursor
        assert number(cursor.pending_s) == 85
    filled = evaluate(records[: 86 + LATE_BARS], cursor)
    assert {85, 86} & set(found(filled))
    assert number(filled.cursor.pending_s) == 85 + LATE_BARS
    given_up = evaluate(np.delete(records, [85, 86]), cursor).cursor
    assert given_up.pending_s == given_up.evaluated_s == T0 + 300 * (len(records) - 1)


def test_the_last_bars_behind_a_very_long_gap_are_judged_when_it_is_filled() -> None:
    records = market(2_000)
    cursor = evaluate(records[:80], None).cursor
    seen = evaluate(records[1_900:1_950], cursor)
    assert number(seen.cursor.pending_s) == 1_949 - LATE_BARS
    seen = evaluate(records[1_900:1_951], seen.cursor)
    filled = evaluate(records[1_000:1_951], seen.cursor)
    assert judged(filled) == list(range(1_950 - LATE_BARS, 1_951))


@pytest.mark.parametrize("back", [350, 100, 20])
@pytest.mark.parametrize("what", ["gap", "provisional", "both"])
def test_a_close_costs_one_window_while_bars_are_pending(windows: list[int], back: int, what: str) -> None:
    records = market(600)
    at = 550 - back
    if what != "gap":
        records = provisional(records, at + 5)
    if what != "provisional":
        records = np.delete(records, [at])
    bars = 550 - (600 - len(records))
    cursor = watched_since(records[:bars], 120)
    windows.clear()
    for more in range(1, 50):
        seen = evaluate(records[: bars + more], cursor)
        cursor = seen.cursor
        assert len(judged(seen)) == 1
    assert sum(windows) == 0


def test_a_newest_bar_that_becomes_final_leaves_a_gap_far_behind_alone(windows: list[int]) -> None:
    """Each close is provisional first: twice as many evaluations, and none of them is long."""
    records = np.delete(market(600), [200])
    cursor = watched_since(records[:500], 120)
    windows.clear()
    for bars in range(501, 550):
        cursor = evaluate(provisional(records[:bars], bars - 1), cursor).cursor
        cursor = evaluate(records[:bars], cursor).cursor
    assert sum(windows) <= 49 * RECENT_BARS
    assert number(cursor.pending_s) == 200
    assert judged(evaluate(market(600)[:550], cursor)) == list(range(200, 550))


def test_a_provisional_bar_and_the_next_are_held_back_and_those_behind_them_are_not() -> None:
    records = market()
    held = evaluate(provisional(records, 100), evaluate(records[:80], None).cursor)
    assert judged(held) == [n for n in range(80, BARS) if n not in (100, 101)]
    assert number(held.cursor.pending_s) == 100
    assert number(held.cursor.evaluated_s) == BARS - 1


def test_bars_are_judged_by_their_own_values_though_the_newest_is_held_back() -> None:
    stages = RuleEngine(alert_settings('[[alerts.rule]]\nname = "s"\nkind = "stage"\ncooldown_bars = 0\n'))

    def seen(records: Records, before: AlertCursor | None) -> Evaluation:
        window = window_at(records, len(records) - 1, Timeframe.M5)
        return stages.evaluate("A-USD", Timeframe.M5, records, macdv_of(window), before, T0)

    count = WINDOW + 200  # each window is full: the values of one bar are at other places in the window of the next
    records = walk(T0 + 300 * (count - 1), count, 300)
    alerts = 0
    for bars in range(WINDOW + 3, count):
        cursor = seen(records[: bars - 3], None).cursor
        whole = seen(records[: bars - 1], cursor).findings
        assert seen(provisional(records[:bars], bars - 1), cursor).findings == whole
        alerts += len(whole)
    assert alerts > 5


def test_a_provisional_bar_is_judged_once_it_is_confirmed() -> None:
    records = market()
    first = evaluate(records[:80], None).cursor
    held = evaluate(provisional(records, 100), first)
    confirmed = evaluate(records, held.cursor)
    assert judged(confirmed) == list(range(100, BARS))
    assert set(found(held)) | set(found(confirmed)) == set(found(evaluate(records, first)))
    assert evaluate(records, confirmed.cursor).judged == []


def test_a_corrected_provisional_bar_is_judged_by_its_correction() -> None:
    records = market()
    first = evaluate(records[:80], None).cursor
    held = evaluate(provisional(records, 101), first)
    truth = corrected(records, 101)
    after = evaluate(truth, held.cursor)
    assert 101 not in found(after)
    assert [n for n in found(evaluate(truth, first)) if n >= 101] == found(after)


def test_a_bar_that_becomes_provisional_is_not_judged_until_it_is_resolved() -> None:
    records = market()
    cursor = watched_since(records)
    marked = evaluate(provisional(records, BARS - 1), cursor)
    assert marked.judged == []
    assert judged(evaluate(corrected(records, BARS - 1), marked.cursor)) == [BARS - 1]


def test_an_old_bar_that_becomes_provisional_makes_no_bar_pending() -> None:
    records = market()
    cursor = watched_since(records)
    marked = evaluate(provisional(records, 90), cursor)
    assert judged(marked) == [BARS - 1]
    assert marked.cursor.pending_s == marked.cursor.evaluated_s


def test_a_provisional_bar_is_waited_for_as_long_as_a_gap() -> None:
    records = provisional(market(100 + LATE_BARS), 85)
    cursor = evaluate(records[:80], None).cursor
    cursor = evaluate(records[: 86 + LATE_BARS], cursor).cursor
    assert number(cursor.pending_s) == 85
    given_up = evaluate(records, cursor).cursor
    assert given_up.pending_s == given_up.evaluated_s
    assert number(given_up.evaluated_s) == len(records) - 1


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_gaps_and_provisional_bars_ends_in_the_same_alerts(seed: int) -> None:
    """Whatever is missing or provisional in between: the final alerts are those of the candles."""
    chance = random.Random(seed)
    truth = market(220)
    level = np.cumsum([chance.choice((-1.0, 1.0)) for _ in truth])
    truth["close"], truth["open"] = 100.5 + level, 100.5 + level
    truth["high"], truth["low"] = truth["close"] + 1, truth["close"] - 1
    first = cursor = evaluate(truth[:80], None).cursor
    alerts: dict[int, str] = {}
    resolved: set[int] = set()
    missing = set(chance.sample(range(80, 219), 12))
    unconfirmed = set(chance.sample(range(80, 219), 12)) - missing
    for bars in sorted(chance.sample(range(81, 220), 60)) + [220] * 25:
        for waiting in (missing, unconfirmed):
            if chance.random() < 0.25 or bars == 220:
                known = chance.sample(sorted(waiting), min(len(waiting), 2))
                waiting.difference_update(known)
                resolved.update(known if waiting is unconfirmed else [])
        there = [bar for bar in range(bars) if bar not in missing]
        shown = provisional(truth, *unconfirmed)
        shown["close"][list(unconfirmed)] += 2 * (seed % 2)  # every other time they are wrong, too
        shown["flags"][list(resolved)] |= CORRECTED * (seed % 2)
        seen = evaluate(shown[there], cursor)
        cursor = seen.cursor
        alerts = {bar: name for bar, name in alerts.items() if bar not in judged(seen)}
        alerts |= {number(f.start_s): f.event.name for f in seen.findings}
    assert alerts == {number(f.start_s): f.event.name for f in evaluate(truth, first).findings}
    assert cursor.pending_s == cursor.evaluated_s
