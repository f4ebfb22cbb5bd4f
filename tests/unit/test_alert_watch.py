"""What is looked at, bar by bar: once, in order, and again only if what it rests on has changed."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from app.alerts import watch as watching
from app.alerts.basis import LATE_BARS, RECENT_BARS
from app.alerts.settings import AlertSettings
from app.alerts.watch import Seen, Watch, window_at
from app.indicators.macdv import MacdvSeries, macdv_of, macdv_of_many
from app.market.candles import State
from app.market.records import CORRECTED, PROVISIONAL, RECORD, Records
from app.market.timeframes import Timeframe
from app.storage.alert_changes import Watched
from tests.filled import walk

T0 = 1_614_816_000
WATCH = Watch(AlertSettings.parse('[[rule]]\nname = "p"\nkind = "price"\nproducts = ["A-USD"]\nprices = [100]\n'))
BARS = 120


def market(bars: int = BARS) -> Records:
    """Closes that cross 100 at every bar: 101 at even ones, 99 at odd ones."""
    records = np.zeros(bars, RECORD)
    records["start_s"] = T0 + 300 * np.arange(bars)
    records["flags"] = State.CLOSED
    close = np.where(np.arange(bars) % 2, 99.0, 101.0)
    records["open"], records["close"], records["high"], records["low"] = close, close, 102, 98
    return records


def look(records: Records, before: Watched | None, begin_s: int = T0) -> Seen:
    """`begin_s`: the exchange has nothing before; 0 if nobody knows."""
    window = window_at(records, len(records) - 1, Timeframe.M5)
    return WATCH.look("A-USD", Timeframe.M5, records, macdv_of(window), before, begin_s)


def watched_since(records: Records, bars: int = 80) -> Watched:
    """What is left of a first look at `bars`, and one at all of them."""
    return look(records, look(records[:bars], None).watched).watched


def number(start_s: int) -> int:
    return (start_s - T0) // 300


def found(seen: Seen) -> list[int]:
    """Bars, as numbers."""
    return [number(f.start_s) for f in seen.findings]


def judged(seen: Seen) -> list[int]:
    return [bar for first_s, last_s in seen.judged for bar in range(number(first_s), number(last_s) + 1)]


def provisional(records: Records, *bars: int) -> Records:
    """The same with these bars provisional."""
    marked = records.copy()
    marked["flags"][list(bars)] |= PROVISIONAL
    return marked


def corrected(records: Records, bar: int) -> Records:
    """The same with another close of `bar`, that does not cross."""
    other = records.copy()
    other["close"][bar], other["flags"][bar] = other["close"][bar - 1], State.CLOSED | CORRECTED
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
    assert seen.watched.floor_s == seen.watched.evaluated_s == T0 + 300 * 79


def test_each_bar_since_is_looked_at_with_what_was_known_at_its_close() -> None:
    records = market()
    one_by_one, watched = [], look(records[:80], None).watched
    for bars in range(81, BARS + 1):
        seen = look(records[:bars], watched)
        one_by_one += found(seen)
        watched = seen.watched
    at_once = look(records, look(records[:80], None).watched)
    # Alternating bars: each event comes back after two, and a cooldown of three hides every other one.
    assert one_by_one == found(at_once) == [n for n in range(80, BARS) if n % 4 in (1, 2)]
    assert watched == at_once.watched


def test_a_bar_that_was_looked_at_is_left_alone() -> None:
    records = market()
    again = look(records, watched_since(records))
    assert again.findings == []
    assert again.judged == []


def test_a_correction_brings_the_newest_bar_back_and_no_older_one() -> None:
    records = market()
    watched = watched_since(records)
    records["flags"][50] |= CORRECTED
    again = look(records, watched)
    assert again.has_changed
    assert judged(again) == [BARS - 1]
    assert not look(records, again.watched).has_changed


def test_a_correction_never_brings_history_back() -> None:
    records = market(80)
    watched = look(records, None).watched
    records["flags"][79] |= CORRECTED
    assert look(records, watched).findings == []


def test_a_change_is_seen_although_other_bars_have_come_with_it() -> None:
    records = market()
    watched = watched_since(records[:-3])
    records["flags"][110] |= CORRECTED
    assert judged(look(records, watched)) == [BARS - 4, BARS - 3, BARS - 2, BARS - 1]


def test_a_candle_that_the_ring_drops_is_no_change() -> None:
    records = market(700)
    records["flags"][[100, 300]] |= CORRECTED
    watched = watched_since(records[100:698], 500)
    assert not look(records[202:], watched).has_changed


@pytest.mark.parametrize("closes_at_once", [True, False])
def test_live_bars_that_close_before_their_history_comes_are_judged_when_it_does(closes_at_once: bool) -> None:
    records = market()
    watched = look(records[80:81], None, 0).watched
    for bars in [BARS] if closes_at_once else range(82, BARS + 1):
        watched = look(records[80:bars], watched, 0).watched
    assert number(watched.pending_s) == 81
    for first in (60, 20, 0):  # page by page, the newest first
        seen = look(records[first:], watched, 0)
        assert judged(seen) == list(range(81, BARS))
        watched = seen.watched
    assert found(seen) == found(look(records, look(records[:81], None).watched))


def test_a_history_that_never_comes_is_waited_for_as_long_as_a_gap() -> None:
    records = market(100 + LATE_BARS)
    watched = look(records[:80], None, 0).watched
    waiting = look(records[: 81 + LATE_BARS], watched, 0).watched
    assert number(waiting.pending_s) == 80
    assert number(look(records, waiting, 0).watched.pending_s) == 99


def test_a_series_that_begins_there_waits_for_no_history() -> None:
    records = market()
    watched = watched_since(records)
    assert watched.pending_s == watched.evaluated_s
    assert number(look(records, look(records[:80], None, 0).watched, 0).watched.pending_s) == 80
    assert look(records, watched, 0).watched.pending_s == watched.pending_s, "what is done with stays so"


def test_bars_behind_a_gap_are_looked_at_when_it_is_filled() -> None:
    records = market()
    watched = look(records[:80], None).watched
    seen = look(np.delete(records, [90]), watched)
    assert number(seen.watched.pending_s) == 90
    filled = look(records, seen.watched)
    assert judged(filled) == list(range(90, BARS))
    assert {90, 91} & set(found(filled))
    assert number(filled.watched.pending_s) == BARS - 1


def test_a_gap_that_is_filled_from_its_older_end_is_looked_at_from_there() -> None:
    records = market()
    watched = look(np.delete(records, range(100, 115)), look(records[:80], None).watched).watched
    assert judged(look(np.delete(records, range(106, 115)), watched)) == [*range(100, 106), *range(115, BARS)]


def test_a_gap_is_waited_for_however_many_bars_there_are_behind_it_but_not_for_ever() -> None:
    records, watched = market(100 + LATE_BARS), look(market(80), None).watched
    for bars in (91, 200, 86 + LATE_BARS):
        watched = look(np.delete(records[:bars], [85, 86]), watched).watched
        assert number(watched.pending_s) == 85
    filled = look(records[: 86 + LATE_BARS], watched)
    assert {85, 86} & set(found(filled))
    assert number(filled.watched.pending_s) == 85 + LATE_BARS
    given_up = look(np.delete(records, [85, 86]), watched).watched
    assert given_up.pending_s == given_up.evaluated_s == T0 + 300 * (len(records) - 1)


def test_the_last_bars_behind_a_gap_longer_than_all_that_is_read_are_looked_at_when_it_is_filled() -> None:
    records = market(2_000)
    watched = look(records[:80], None).watched
    seen = look(records[1_900:1_950], watched)
    assert number(seen.watched.pending_s) == 1_949 - LATE_BARS
    seen = look(records[1_900:1_951], seen.watched)
    filled = look(records[1_000:1_951], seen.watched)
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
    watched = watched_since(records[:bars], 120)
    windows.clear()
    for more in range(1, 50):
        seen = look(records[: bars + more], watched)
        watched = seen.watched
        assert len(judged(seen)) == 1
    assert sum(windows) == 0


def test_a_newest_bar_that_becomes_final_leaves_a_gap_far_behind_alone(windows: list[int]) -> None:
    """Each close is provisional first, as in a time of doubt: twice as many looks, and none of them is long."""
    records = np.delete(market(600), [200])
    watched = watched_since(records[:500], 120)
    windows.clear()
    for bars in range(501, 550):
        watched = look(provisional(records[:bars], bars - 1), watched).watched
        watched = look(records[:bars], watched).watched
    assert sum(windows) <= 49 * RECENT_BARS
    assert number(watched.pending_s) == 200
    assert judged(look(market(600)[:550], watched)) == list(range(200, 550))


def test_a_provisional_bar_and_the_next_are_held_back_and_those_behind_them_are_not() -> None:
    records = market()
    held = look(provisional(records, 100), look(records[:80], None).watched)
    assert judged(held) == [n for n in range(80, BARS) if n not in (100, 101)]
    assert number(held.watched.pending_s) == 100
    assert number(held.watched.evaluated_s) == BARS - 1


def test_bars_are_told_by_their_own_values_though_the_newest_is_held_back() -> None:
    stages = Watch(AlertSettings.parse('[[rule]]\nname = "s"\nkind = "stage"\ncooldown_bars = 0\n'))

    def seen(records: Records, before: Watched | None) -> Seen:
        window = window_at(records, len(records) - 1, Timeframe.M5)
        return stages.look("A-USD", Timeframe.M5, records, macdv_of(window), before, T0)

    records = walk(T0 + 300 * 299, 300, 300)
    told = 0
    for bars in range(90, 300):
        watched = seen(records[: bars - 3], seen(records[:80], None).watched).watched
        whole = seen(records[: bars - 1], watched).findings
        assert seen(provisional(records[:bars], bars - 1), watched).findings == whole
        told += len(whole)
    assert told > 5


def test_a_provisional_bar_is_judged_once_it_is_confirmed() -> None:
    records = market()
    first = look(records[:80], None).watched
    held = look(provisional(records, 100), first)
    confirmed = look(records, held.watched)
    assert judged(confirmed) == list(range(100, BARS))
    assert set(found(held)) | set(found(confirmed)) == set(found(look(records, first)))
    assert look(records, confirmed.watched).judged == []


def test_a_provisional_bar_that_is_corrected_is_judged_as_what_it_became() -> None:
    records = market()
    first = look(records[:80], None).watched
    held = look(provisional(records, 101), first)
    truth = corrected(records, 101)
    after = look(truth, held.watched)
    assert 101 not in found(after)
    assert [n for n in found(look(truth, first)) if n >= 101] == found(after)


def test_a_bar_that_becomes_provisional_later_is_left_as_it_is_until_it_is_known() -> None:
    records = market()
    watched = watched_since(records)
    marked = look(provisional(records, BARS - 1), watched)
    assert marked.judged == []
    assert judged(look(corrected(records, BARS - 1), marked.watched)) == [BARS - 1]


def test_an_old_bar_that_becomes_provisional_brings_back_no_bar_that_was_done_with() -> None:
    records = market()
    watched = watched_since(records)
    marked = look(provisional(records, 90), watched)
    assert judged(marked) == [BARS - 1]
    assert marked.watched.pending_s == marked.watched.evaluated_s


def test_a_provisional_bar_is_waited_for_as_long_as_a_gap() -> None:
    records = provisional(market(100 + LATE_BARS), 85)
    watched = look(records[:80], None).watched
    watched = look(records[: 86 + LATE_BARS], watched).watched
    assert number(watched.pending_s) == 85
    given_up = look(records, watched).watched
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
    first = watched = look(truth[:80], None).watched
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
        seen = look(shown[there], watched)
        watched = seen.watched
        told = {bar: name for bar, name in told.items() if bar not in judged(seen)}
        told |= {number(f.start_s): f.event.name for f in seen.findings}
    assert told == {number(f.start_s): f.event.name for f in look(truth, first).findings}
    assert watched.pending_s == watched.evaluated_s
