"""Arrays as rows: every value unchanged; missing values are absent."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from app.indicators.macdv import macdv_of
from app.indicators.stages import STAGES
from app.market.candles import CandleState
from app.market.records import CORRECTED, EMPTY, PROVISIONAL, RECORD
from app.query.rows import candle_json, candle_pieces, candle_rows, indicator_rows
from tests.filled import walk


def test_a_candle_row_has_every_field_as_a_plain_value() -> None:
    flags = [
        CandleState.FORMING,
        CandleState.CLOSED | CORRECTED,
        CandleState.CONFIRMED | EMPTY,
        CandleState.CLOSED | PROVISIONAL,
    ]
    records = np.array([(300 * i, f, 5, 1.5, 2.5, 0.5, 2.0, 7.25) for i, f in enumerate(flags, 1)], RECORD)
    rows = candle_rows(records)
    assert rows[0] == {
        "start": 300,
        "open": 1.5,
        "high": 2.5,
        "low": 0.5,
        "close": 2.0,
        "volume": 7.25,
        "trades": True,
        "state": "forming",
        "corrected": False,
        "provisional": False,
    }
    assert [(r["start"], r["trades"], r["state"], r["corrected"], r["provisional"]) for r in rows[1:]] == [
        (600, True, "closed", True, False),
        (900, False, "confirmed", False, False),
        (1200, True, "closed", False, True),
    ]
    assert {type(v) for v in rows[0].values()} == {int, float, bool, str}


@pytest.mark.parametrize("bars", [0, 1, 500, 501])
def test_candles_as_json_are_the_rows_and_follow_every_change(bars: int) -> None:
    records = walk(300 * 1000, bars, 300)
    for _ in range(2):
        assert orjson.loads(orjson.dumps(candle_json(records))) == candle_rows(records)
        records["volume"] += 1


@pytest.mark.parametrize(("bars", "pieces"), [(0, 2), (1, 3), (500, 3), (501, 4), (1_700, 6)])
def test_many_candles_as_json_come_a_window_at_a_time(bars: int, pieces: int) -> None:
    records = walk(300 * 2000, bars, 300)
    made = list(candle_pieces(records))
    assert orjson.loads(b"".join(made)) == candle_rows(records)
    assert len(made) == pieces


def test_indicator_rows_are_those_bars_that_have_a_value() -> None:
    values = macdv_of(walk(300 * 100, 60, 300))
    rows = indicator_rows(values, 500)
    columns = zip(values.start_s, values.macdv, values.atr, values.stages, strict=True)
    defined = [(start_s, macdv, atr, STAGES[stage]) for start_s, macdv, atr, stage in columns if macdv == macdv]
    assert [(r["start"], r["macdv"], r["atr"], r["stage"]) for r in rows] == defined


def test_signal_and_histogram_are_absent_until_they_exist() -> None:
    rows = indicator_rows(macdv_of(walk(300 * 100, 60, 300)), 500)
    first = next(i for i, row in enumerate(rows) if "signal" in row)
    assert first == 8
    assert all("histogram" not in row for row in rows[:8])
    assert all(row["histogram"] == row["macdv"] - row["signal"] for row in rows[8:])


def test_the_newest_are_kept() -> None:
    values = macdv_of(walk(300 * 100, 60, 300))
    assert indicator_rows(values, 3) == indicator_rows(values, 500)[-3:]
