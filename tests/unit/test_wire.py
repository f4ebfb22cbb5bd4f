"""What leaves is of the type that describes it, and the client has the fields of that type."""

from __future__ import annotations

from dataclasses import MISSING, fields

import numpy as np
import orjson
import pytest

from app.alerts.bars import ready_point
from app.alerts.engine import Finding, RuleEngine, window_at
from app.alerts.facts import alert_of
from app.compute.latest import latest_values
from app.indicators.macdv import macdv_of, macdv_of_batch
from app.market.records import PROVISIONAL, Records
from app.market.timeframes import Timeframe
from app.query.rows import candle_json, candle_pieces, indicator_rows
from app.storage.alert_changes import Alert
from app.wire.alerts import AlertEvent, AlertFact
from app.wire.candles import CandleRow, FormingCandle
from app.wire.fields import part_of
from app.wire.indicators import Indicator, IndicatorInShort, IndicatorRow, OverviewCell
from client import Candle
from tests.alerting import alert_settings
from tests.build import series
from tests.described import check
from tests.filled import walk

BARS = walk(300 * 1000, 600, 300)

RULES = """
[[alerts.rule]]
name = "levels"
kind = "level"
[[alerts.rule]]
name = "turns"
kind = "reversal"
zone = 20
[[alerts.rule]]
name = "stages"
kind = "stage"
[[alerts.rule]]
name = "prices"
kind = "price"
products = ["BTC-USD"]
prices = [90, 100, 110]
"""


def test_the_client_has_the_fields_of_a_candle() -> None:
    assert [field.name for field in fields(Candle)] == list(CandleRow.__annotations__)
    assert {f.name for f in fields(Candle) if f.default is MISSING} <= FormingCandle.__annotations__.keys()


def test_candles() -> None:
    check(list[CandleRow], orjson.dumps(candle_json(BARS)))
    check(list[CandleRow], b"".join(candle_pieces(BARS)))


def test_indicators_of_a_whole_series() -> None:
    rows = indicator_rows(macdv_of(BARS[:60]), 500)
    assert {len(row) for row in rows} == {6, 8}
    check(list[IndicatorRow], orjson.dumps(rows))


@pytest.mark.parametrize("bars", [1, 10, 60, 500])
def test_the_newest_indicator_and_its_parts(bars: int) -> None:
    records = BARS[:bars].copy()
    records["flags"][-1] |= PROVISIONAL
    (value,) = latest_values([series()], [records], macdv_of_batch([records]))
    assert value is not None
    check(Indicator, orjson.dumps(value))
    check(IndicatorInShort, orjson.dumps(part_of(value, IndicatorInShort)))
    check(OverviewCell, orjson.dumps(part_of(value, OverviewCell)))


def test_alerts_of_every_kind() -> None:
    engine = RuleEngine(alert_settings(RULES))
    alerts = [alert for bar in range(len(BARS)) for alert in alerts_at(engine, BARS, bar)]
    assert {alert.fact["kind"] for alert in alerts} == {"level", "reversal", "stage", "price"}
    assert {name for alert in alerts for name in alert.fact["event"]} == AlertEvent.__annotations__.keys()
    check(list[AlertFact], orjson.dumps([alert.fact for alert in alerts]))


def alerts_at(engine: RuleEngine, records: Records, bar: int) -> list[Alert]:
    window = window_at(records, bar, Timeframe.M5)
    values = macdv_of(window)
    point, candle = ready_point(window, values), np.void(window[-1])
    others = {Timeframe.H1: point, Timeframe.D1: None}
    return [
        alert_of(Finding(rule, event, bar, int(candle["start_s"])), series(), candle, point, len(window), others, ())
        for rule, event in engine.newest_raised("BTC-USD", Timeframe.M5, window, values)
    ]
