"""Number of candles before a bar has values, and which bar is a base for a crossing."""

from __future__ import annotations

import numpy as np
import pytest

from app.alerts.bars import compared_bars, history_of, newest_bars, ready_point
from app.indicators.macdv import macdv_of
from app.market.candles import CandleState
from app.market.records import RECORD, Records

T0 = 1_614_816_000


def window(count: int) -> Records:
    records = np.zeros(count, RECORD)
    records["start_s"], records["flags"] = T0 + 300 * np.arange(count), CandleState.CLOSED
    records["close"] = records["open"] = 100 + np.sin(np.arange(count))
    records["high"], records["low"] = records["close"] + 1, records["close"] - 1
    return records


@pytest.mark.parametrize(("count", "ready"), [(59, 0), (60, 1), (61, 2), (62, 3)])
def test_a_bar_has_values_from_sixty_candles_on(count: int, ready: int) -> None:
    held = window(count)
    bars = newest_bars(held, macdv_of(held), count)
    assert sum(value is not None for value in bars.macdv) == ready
    assert (ready_point(held, macdv_of(held)) is not None) == bool(ready)


def test_the_bar_before_the_first_ready_one_is_not_a_base_for_a_crossing() -> None:
    for count, base in ((60, None), (61, 0)):
        bars = compared_bars(window(count), macdv_of(window(count)))
        assert bars.before(len(bars) - 1) == base


def test_neighbouring_bars_have_the_same_past() -> None:
    begins = {T0 + n * 300 - (history_of(T0 + n * 300, 300, 100) - 1) * 300 for n in range(250)}
    assert len(begins) in (3, 4), "one for each span"
