"""What is looked at, bar by bar: once, in order, and again only if what it rests on has changed."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from app.alerts import engine as watching
from app.alerts.engine import Evaluation, RuleEngine, window_at
from app.alerts.fingerprint import LATE_BARS, RECENT_BARS
from app.alerts.settings import AlertSettings
from app.indicators.macdv import MacdvSeries, macdv_of, macdv_of_many
from app.market.candles import CandleState
from app.market.records import CORRECTED, PROVISIONAL, RECORD, Records
from app.market.timeframes import Timeframe
from app.storage.alert_changes import AlertCursor
from tests.filled import walk

T0 = 1_614_816_000
WATCH = RuleEngine(AlertSettings.parse('[[rule]]\nname = "p"\nkind = "price"\nproducts = ["A-USD"]\nprices = [100]\n'))
BARS = 120


def market(bars: int = BARS) -> Records:
    """Closes that cross 100 at every bar: 101 at even ones, 99 at odd ones."""
    records = np.zeros(bars, RECORD)
    records["start_s"] = T0 + 300 * np.arange(bars)
    records["flags"] = CandleState.CLOSED
    close = np.where(np.arange(bars) % 2, 99.0, 101.0)
    records["open"], records["close"], records["high"], records["low"] = close, close, 102, 98
    return records


def look(records: Records, before: AlertCursor | None, begin_s: int = T0) -> Evaluation:
    """`begin_s`: the exchange has nothing before; 0 if nobody knows."""
    window = window_at(records, len(records) - 1, Timeframe.M5)
    return WATCH.evaluate("A-USD", Timeframe.M5, records, macdv_of(window), before, begin_s)


def watched_since(records: Records, bars: int = 80) -> AlertCursor:
    """What is left of a first look at `bars`, and one at all of them."""
    return look(records, look(records[:bars], None).cursor).cursor


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
    """The same with another close of `bar`, that does not cross."""
    other = records.copy()
    other["close"][bar], other["flags"][bar] = other["close"][bar - 1], CandleState.CLOSED | CORRECTED
    return other


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows each look has computed besides the newest one, which it was given."""
    counts: list[int] = []

    def counted(batch: Sequence[Records]) -> list[MacdvSeries]:
        counts.append(len(batch))
        return macdv_of_many(batch)

    monkeypatch.setattr(watching, "macdv_of_many", counted)
    return counts


def test_the_first_look_is_a_baseline() -> None:
    seen = look(market(80), None)
    assert seen.findings == []
    assert seen.cursor.baseline_s == seen.cursor.evaluated_s == T0 + 300 * 79


def test_each_bar_since_is_looked_at_with_what_was_known_at_its_close() -> None:
    records = market()
    one_by_one, cursor = [], look(records[:80], None).cursor
    for bars in range(81, BARS + 1):
        seen = look(records[:bars], cursor)
        one_by_one += found(seen)
        cursor = seen.cursor
    at_once = look(records, look(records[:80], None).cursor)
    # Alternating bars: each event comes back after two, and a cooldown of three hides every other one.
    assert one_by_one == found(at_once) == [n for n in range(80, BARS) if n % 4 in (1, 2)]
    assert cursor == at_once.cursor


def test_a_bar_that_was_looked_at_is_left_alone() -> None:
    records = market()
    again = look(records, watched_since(records))
    assert again.findings == []
    assert again.judged == []


def test_a_correction_brings_the_newest_bar_back_and_no_older_one() -> None:
    records = market()
    cursor = watched_since(records)
    records["flags"][50] |= CORRECTED
    again = look(records, cursor)
    assert again.has_changed
    assert judged(again) == [BARS - 1]
    assert not look(records, again.cursor).has_changed


def test_a_correction_never_brings_history_back() -> None:
    records = market(80)
    cursor = look(records, None).cursor
    records["flags"][79] |= CORRECTED
    assert look(records, cursor).findings == []


def test_a_change_is_seen_although_other_bars_have_come_with_it() -> None:
    records = market()
    cursor = watched_since(records[:-3])
    records["flags"][110] |= CORRECTED
    assert judged(look(records, cursor)) == [BARS - 4, BARS - 3, BARS - 2, BARS - 1]


def test_a_candle_that_the_ring_drops_is_no_change() -> None:
    records = market(700)
    records["flags"][[100, 300]] |= CORRECTED
    cursor = watched_since(records[100:698], 500)
    assert not look(records[202:], cursor).has_changed


@pytest.mark.parametrize("closes_at_once", [True, False])
def test_live_bars_that_close_before_their_history_comes_are_judged_when_it_does(closes_at_once: bool) -> None:
    records = market()
    cursor = look(records[80:81], None, 0).cursor
    for bars in [BARS] if closes_at_once else range(82, BARS + 1):
        cursor = look(records[80:bars], cursor, 0).cursor
    assert number(cursor.pending_s) == 81
    for first in (60, 20, 0):  # page by page, the newest first
        seen = look(records[first:], cursor, 0)
        assert judged(seen) == list(range(81, BARS))
        cursor = seen.cursor
    assert found(seen) == found(look(records, look(records[:81], None).cursor))


def test_a_history_that_never_comes_is_waited_for_as_long_as_a_gap() -> None:
    records = market(100 + LATE_BARS)
    cursor = look(records[:80], None, 0).cursor
    waiting = look(records[: 81 + LATE_BARS], cursor, 0).cursor
    assert number(waiting.pending_s) == 80
    assert number(look(records, waiting, 0).cursor.pending_s) == 99


def test_a_series_that_begins_there_waits_for_no_history() -> None:
    records = market()
    cursor = watched_since(records)
    assert cursor.pending_s == cursor.evaluated_s
    assert number(look(records, look(records[:80], None, 0).cursor, 0).cursor.pending_s) == 80
    assert look(records, cursor, 0).cursor.pending_s == cursor.pending_s, "what is done with stays so"


def test_bars_behind_a_gap_are_looked_at_when_it_is_filled() -> None:
    records = market()
    cursor = look(records[:80], None).cursor
    seen = look(np.delete(records, [90]), cursor)
    assert number(seen.cursor.pending_s) == 90
    filled = look(records, seen.cursor)
    assert judged(filled) == list(range(90, BARS))
    assert {90, 91} & set(found(filled))
    assert number(filled.cursor.pending_s) == BARS - 1


def test_a_gap_that_is_filled_from_its_older_end_is_looked_at_from_there() -> None:
    records = market()
    cursor = look(np.delete(records, range(100, 115)), look(records[:80], None).cursor).cursor
    assert judged(look(np.delete(records, range(106, 115)), cursor)) == [*range(100, 106), *range(115, BARS)]


def test_a_gap_is_waited_for_however_many_bars_there_are_behind_it_but_not_for_ever() -> None:
    records, cursor = market(100 + LATE_BARS), look(market(80), None).cursor
    for bars in (91, 200, 86 + LATE_BARS):
        cursor = look(np.delete(records[:bars], [85, 86]), cursor).cursor
        assert number(cursor.pending_s) == 85
    filled = look(records[: 86 + LATE_BARS], cursor)
    assert {85, 86} & set(found(filled))
    assert number(filled.cursor.pending_s) == 85 + LATE_BARS
    given_up = look(np.delete(records, [85, 86]), cursor).cursor
    assert given_up.pending_s == given_up.evaluated_s == T0 + 300 * (len(records) - 1)


def test_the_last_bars_behind_a_gap_longer_than_all_that_is_read_are_looked_at_when_it_is_filled() -> None:
    records = market(2_000)
    cursor = look(records[:80], None).cursor
    seen = look(records[1_900:1_950], cursor)
    assert number(seen.cursor.pending_s) == 1_949 - LATE_BARS
    seen = look(records[1_900:1_951], seen.cursor)
    filled = look(records[1_000:1_951], seen.cursor)
    assert judged(filled) == list(range(1_950 - LATE_BARS, 1_951))


@pytest.mark.parametrize("back", [350, 100, 20])
@pytest.mark.parametrize("what", ["gap", "provisional", "both"])
def test_whatever_is_waited_for_a_close_costs_one_window(windows: list[int], back: int, what: str) -> None:
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
        seen = look(records[: bars + more], cursor)
        cursor = seen.cursor
        assert len(judged(seen)) == 1
    assert sum(windows) == 0


def test_a_newest_bar_that_becomes_final_leaves_a_gap_far_behind_alone(windows: list[int]) -> None:
    """Each close is provisional first, as in a time of doubt: twice as many looks, and none of them is long."""
    records = np.delete(market(600), [200])
    cursor = watched_since(records[:500], 120)
    windows.clear()
    for bars in range(501, 550):
        cursor = look(provisional(records[:bars], bars - 1), cursor).cursor
        cursor = look(records[:bars], cursor).cursor
    assert sum(windows) <= 49 * RECENT_BARS
    assert number(cursor.pending_s) == 200
    assert judged(look(market(600)[:550], cursor)) == list(range(200, 550))


def test_a_provisional_bar_and_the_next_are_held_back_and_those_behind_them_are_not() -> None:
    records = market()
    held = look(provisional(records, 100), look(records[:80], None).cursor)
    assert judged(held) == [n for n in range(80, BARS) if n not in (100, 101)]
    assert number(held.cursor.pending_s) == 100
    assert number(held.cursor.evaluated_s) == BARS - 1


def test_bars_are_told_by_their_own_values_though_the_newest_is_held_back() -> None:
    stages = RuleEngine(AlertSettings.parse('[[rule]]\nname = "s"\nkind = "stage"\ncooldown_bars = 0\n'))

    def seen(records: Records, before: AlertCursor | None) -> Evaluation:
        window = window_at(records, len(records) - 1, Timeframe.M5)
        return stages.evaluate("A-USD", Timeframe.M5, records, macdv_of(window), before, T0)

    records = walk(T0 + 300 * 299, 300, 300)
    told = 0
    for bars in range(90, 300):
        cursor = seen(records[: bars - 3], seen(records[:80], None).cursor).cursor
        whole = seen(records[: bars - 1], cursor).findings
        assert seen(provisional(records[:bars], bars - 1), cursor).findings == whole
        told += len(whole)
    assert told > 5


def test_a_provisional_bar_is_judged_once_it_is_confirmed() -> None:
    records = market()
    first = look(records[:80], None).cursor
    held = look(provisional(records, 100), first)
    confirmed = look(records, held.cursor)
    assert judged(confirmed) == list(range(100, BARS))
    assert set(found(held)) | set(found(confirmed)) == set(found(look(records, first)))
    assert look(records, confirmed.cursor).judged == []


def test_a_provisional_bar_that_is_corrected_is_judged_as_what_it_became() -> None:
    records = market()
    first = look(records[:80], None).cursor
    held = look(provisional(records, 101), first)
    truth = corrected(records, 101)
    after = look(truth, held.cursor)
    assert 101 not in found(after)
    assert [n for n in found(look(truth, first)) if n >= 101] == found(after)


def test_a_bar_that_becomes_provisional_later_is_left_as_it_is_until_it_is_known() -> None:
    records = market()
    cursor = watched_since(records)
    marked = look(provisional(records, BARS - 1), cursor)
    assert marked.judged == []
    assert judged(look(corrected(records, BARS - 1), marked.cursor)) == [BARS - 1]


def test_an_old_bar_that_becomes_provisional_brings_back_no_bar_that_was_done_with() -> None:
    records = market()
    cursor = watched_since(records)
    marked = look(provisional(records, 90), cursor)
    assert judged(marked) == [BARS - 1]
    assert marked.cursor.pending_s == marked.cursor.evaluated_s


def test_a_provisional_bar_is_waited_for_as_long_as_a_gap() -> None:
    records = provisional(market(100 + LATE_BARS), 85)
    cursor = look(records[:80], None).cursor
    cursor = look(records[: 86 + LATE_BARS], cursor).cursor
    assert number(cursor.pending_s) == 85
    given_up = look(records, cursor).cursor
    assert given_up.pending_s == given_up.evaluated_s
    assert number(given_up.evaluated_s) == len(records) - 1


@pytest.mark.parametrize("seed", range(40))
def test_any_order_of_gaps_and_provisional_bars_ends_in_the_same_alerts(seed: int) -> None:
    """Whatever is missing or provisional in between: what is told in the end is what the candles say."""
    chance = random.Random(seed)
    truth = market(220)
    level = np.cumsum([chance.choice((-1.0, 1.0)) for _ in truth])
    truth["close"], truth["open"] = 100.5 + level, 100.5 + level
    truth["high"], truth["low"] = truth["close"] + 1, truth["close"] - 1
    first = cursor = look(truth[:80], None).cursor
    told: dict[int, str] = {}
    resolved: set[int] = set()
    missing = set(chance.sample(range(80, 219), 12))
    doubted = set(chance.sample(range(80, 219), 12)) - missing
    for bars in sorted(chance.sample(range(81, 220), 60)) + [220] * 25:
        for waiting in (missing, doubted):
            if chance.random() < 0.25 or bars == 220:
                known = chance.sample(sorted(waiting), min(len(waiting), 2))
                waiting.difference_update(known)
                resolved.update(known if waiting is doubted else [])
        there = [bar for bar in range(bars) if bar not in missing]
        shown = provisional(truth, *doubted)
        shown["close"][list(doubted)] += 2 * (seed % 2)  # every other time they are wrong, too
        shown["flags"][list(resolved)] |= CORRECTED * (seed % 2)
        seen = look(shown[there], cursor)
        cursor = seen.cursor
        told = {bar: name for bar, name in told.items() if bar not in judged(seen)}
        told |= {number(f.start_s): f.event.name for f in seen.findings}
    assert told == {number(f.start_s): f.event.name for f in look(truth, first).findings}
    assert cursor.pending_s == cursor.evaluated_s
