"""What is looked at, bar by bar: once, in order, and again only where a correction says so."""

from __future__ import annotations

import numpy as np

from app.alerts.settings import AlertSettings
from app.alerts.watch import LATE_BARS, Seen, Watch, Watched, window_at
from app.candles import State
from app.indicators.macdv import macdv_of
from app.records import CORRECTED, RECORD, Records
from app.timeframes import Timeframe

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


def look(records: Records, before: Watched | None) -> Seen:
    window = window_at(records, len(records) - 1, Timeframe.M5)
    return WATCH.look("A-USD", Timeframe.M5, records, macdv_of(window), before)


def found(seen: Seen) -> list[int]:
    """Bars, as numbers."""
    return [(f.start_s - T0) // 300 for f in seen.findings]


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
    watched = look(records, look(records[:80], None).watched).watched
    again = look(records, watched)
    assert again.findings == []
    assert again.from_s == T0 + 300 * BARS


def test_a_correction_brings_the_newest_bar_back_and_no_older_one() -> None:
    records = market()
    watched = look(records, look(records[:80], None).watched).watched
    records["flags"][50] |= CORRECTED
    again = look(records, watched)
    assert again.watched.basis != watched.basis
    assert again.from_s == T0 + 300 * (BARS - 1)
    assert set(found(again)) <= {BARS - 1}


def test_a_correction_never_brings_history_back() -> None:
    records = market(80)
    watched = look(records, None).watched
    records["flags"][79] |= CORRECTED
    assert look(records, watched).findings == []


def test_bars_behind_a_hole_are_looked_at_when_it_is_filled() -> None:
    records = market()
    watched = look(records[:80], None).watched
    holed = np.delete(records, [90])
    seen = look(holed, watched)
    assert seen.watched.evaluated_s == T0 + 300 * 89
    filled = look(records, seen.watched)
    assert filled.from_s == T0 + 300 * 89
    assert {90, 91} & set(found(filled))
    assert filled.watched.evaluated_s == T0 + 300 * (BARS - 1)


def test_a_hole_is_waited_for_however_many_bars_there_are_behind_it_but_not_for_ever() -> None:
    records, watched = market(100 + LATE_BARS), look(market(80), None).watched
    for bars in (91, 87 + LATE_BARS, 200):
        watched = look(np.delete(records[:bars], [85, 86]), watched).watched
        assert watched.evaluated_s == T0 + 300 * 84
    filled = look(records[:200], watched)
    assert {85, 86} & set(found(filled))
    assert filled.watched.evaluated_s == T0 + 300 * 199
    given_up = look(np.delete(records, [85, 86]), watched).watched
    assert given_up.evaluated_s == T0 + 300 * (len(records) - 1)
