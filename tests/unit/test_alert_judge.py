"""The judge of alerts: it agrees with the engine on series with few trades and on gaps, and finds wrong alerts."""

from __future__ import annotations

import numpy as np
import pytest

from app.alerts.engine import RuleEngine, window_at
from app.indicators.macdv import macdv_of
from app.market.candles import CandleState
from app.market.records import EMPTY, PROVISIONAL, RECORD, STATE_MASK, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.alert_changes import AlertCursor
from tests.alerting import alert_settings
from tests.alerts_reference import RULES, Row, expected_alerts
from tests.faults.alert_verdict import LATE_BARS, LATER, Due, wrong_alerts_of

T0 = 1_614_816_000
WATCH = RuleEngine(alert_settings(RULES))
SERIES = Series("coinbase", "ETH-BTC", Timeframe.M15)


def market(seed: int, empty: float, bars: int = 660) -> Records:
    """A walk around the prices of the rules; a share `empty` of the buckets is empty."""
    random = np.random.default_rng(seed)
    traded = random.random(bars) >= empty
    traded[0] = True
    close = 0.095 * np.exp(np.cumsum((random.normal(0, 0.004, bars) + 0.004 * np.sin(np.arange(bars) / 9)) * traded))
    records = np.zeros(bars, RECORD)
    records["start_s"] = T0 + 900 * np.arange(bars)
    records["flags"] = np.where(traded, CandleState.CONFIRMED, CandleState.CONFIRMED | EMPTY)
    records["open"], records["close"] = close, close
    wick = 1 + 0.002 * random.random(bars) * traded
    records["high"], records["low"] = close * wick, close / wick
    return records


def watched_through(records: Records) -> tuple[AlertCursor, dict[str, str]]:
    """The cursor and the alerts (id, event) after all closes, one by one, from the 30th candle on."""
    cursor, alerts = None, {}
    for bars in range(30, len(records) + 1):
        window = window_at(records[:bars], bars - 1, SERIES.timeframe)
        seen = WATCH.evaluate(SERIES.product, SERIES.timeframe, records[:bars], macdv_of(window), cursor, T0)
        cursor = seen.cursor
        for f in seen.findings:
            alerts[f"{f.rule.name}|{SERIES.product}|{SERIES.timeframe}|{f.start_s}"] = f.event.name
    assert cursor is not None
    return cursor, alerts


def rows_of(records: Records) -> list[Row]:
    """Closed and confirmed candles as the reference takes them."""
    return [
        Row(start_s, high, low, close, not flags & EMPTY, bool(flags & PROVISIONAL))
        for start_s, flags, _, _, high, low, close, _ in records.tolist()
        if flags & STATE_MASK >= CandleState.CLOSED
    ]


def wrong(
    records: Records, cursor: AlertCursor, standing: dict[str, str], *, late_s: int = 0, corrected_s: int = LATER
) -> list[str]:
    due = Due(cursor.baseline_s, late_s, cursor.evaluated_s, corrected_s)
    return wrong_alerts_of(SERIES, due, rows_of(records), standing)


@pytest.mark.parametrize("gaps", [(), (100, 101, 350), (640,)])
@pytest.mark.parametrize("empty", [0.0, 0.6])
def test_thin_series_and_gaps_are_judged(empty: float, gaps: tuple[int, ...]) -> None:
    records = np.delete(market(1, empty), gaps)
    cursor, alerts = watched_through(records)
    expected = expected_alerts(SERIES.product, rows_of(records), 900, cursor.baseline_s)
    assert alerts == {f"{e.rule}|{SERIES.product}|{SERIES.timeframe}|{e.start}": e.what for e in expected}
    assert len({e.rule for e in expected}) >= 3


def test_behind_a_flat_price_without_values_the_last_value_counts() -> None:
    records = market(5, 0.0, 580)
    for price in ("open", "high", "low", "close"):
        records[price][60:540] = records["close"][60]
    records["close"][540:] *= 0.9 * records["close"][60] / records["close"][540]
    records["high"][540:] = records["low"][540:] = records["close"][540:]
    cursor, alerts = watched_through(records)
    assert np.isnan(macdv_of(records).macdv[539])
    assert {identity for identity in alerts if identity.startswith("levels") and identity.endswith(str(T0 + 900 * 540))}
    assert wrong(records, cursor, alerts) == []


def test_provisional_bars_are_not_judged() -> None:
    records = market(3, 0.5, 300)
    _, everything = watched_through(records)
    at = [(int(i.rsplit("|", 1)[1]) - T0) // 900 for i in everything][1::4]
    records["flags"][at] |= PROVISIONAL
    cursor, alerts = watched_through(records)
    assert set(alerts) < set(everything)
    assert wrong(records, cursor, alerts) == wrong(records, cursor, everything) == []
    records["flags"][at] &= ~np.uint32(PROVISIONAL)
    assert len(wrong(records, cursor, alerts)) == len(everything) - len(alerts)


def test_an_alert_too_many_and_one_too_few_are_found() -> None:
    records = np.delete(market(4, 0.5), [300])
    cursor, alerts = watched_through(records)
    last = max(alerts, key=lambda i: int(i.rsplit("|", 1)[1]))
    extra = f"reversals|{SERIES.product}|{SERIES.timeframe}|{T0 + 900 * 500}"
    assert extra not in alerts
    without = {identity: what for identity, what in alerts.items() if identity != last}
    too_few = [f"{last} ({alerts[last]}): should stand, and does not"]
    assert wrong(records, cursor, without) == too_few
    assert wrong(records, cursor, alerts | {extra: "oversold"}) == [f"{extra} (oversold): stands, and should not"]
    other = [f"{last} (other): stands, and should not"]
    assert wrong(records, cursor, alerts | {last: "other"}) == other, "its event is another one"
    early = f"levels|{SERIES.product}|{SERIES.timeframe}|{cursor.baseline_s}"
    assert wrong(records, cursor, alerts | {early: "-150 down"}) == [f"{early}: stands, and is of history"]


def test_given_up_bars_need_no_alert_but_their_alerts_must_be_true() -> None:
    records = market(4, 0.0)
    cursor, alerts = watched_through(records)
    late_s = T0 + 900 * (len(records) - LATE_BARS)
    early = {identity for identity in alerts if int(identity.rsplit("|", 1)[1]) < late_s}
    kept = {identity: what for identity, what in alerts.items() if identity not in early}
    assert early
    assert kept
    assert wrong(records, cursor, kept, late_s=late_s) == wrong(records, cursor, alerts, late_s=late_s) == []
    one = min(early)
    assert wrong(records, cursor, alerts | {one: "other"}, late_s=late_s) == [f"{one} (other): stands, and should not"]
    assert len(wrong(records, cursor, {}, late_s=late_s)) == len(kept)
    assert wrong(records, cursor, kept, late_s=late_s, corrected_s=late_s + 900) == []
