"""How later candles and changed rules affect stored alerts: through Redis, with real writes of candles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from redis import Redis

from app.alerts.evaluate import Evaluator
from app.compute.computer import Computer
from app.events import BEFORE_ALL, KEPT_KINDS, PAYLOADS
from app.market.candles import CandleState
from app.market.records import PROVISIONAL, RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.alert_changes import AlertChange, AlertCursor
from app.storage.alerts import AlertCache, StoredAlert
from app.storage.candles import CandleCache
from app.storage.changed_ranges import ChangedRange
from app.storage.clock import ClockCache
from app.storage.events import EventStream
from app.storage.indicators import IndicatorCache, IndicatorValue
from app.storage.model import Origin, Write
from tests.alerting import alert_settings
from tests.described import check

pytestmark = pytest.mark.integration

M5 = Timeframe.M5
SERIES = Series("coinbase", "BTC-USD", M5)
T0 = 1_614_816_000
OTHER = '[[alerts.rule]]\nname = "other"\nkind = "price"\nproducts = ["BTC-USD"]\nprices = [9999]\n'


def rule(prices: str = "150", more: str = "") -> str:
    return f'[[alerts.rule]]\nname = "p"\nkind = "price"\nproducts = ["BTC-USD"]\nprices = [{prices}]\n{more}'


class Installation:
    """One series, and a worker with rules."""

    def __init__(self, client: Redis) -> None:
        self.clock = ClockCache(client, "coinbase")
        self.candles = CandleCache(client, capacity=1000, events_kept=1000)
        self.alerts = AlertCache(client)
        self.indicators = IndicatorCache(client, events_kept=1000)

    def put(self, records: Records, text: str = rule()) -> None:
        """Write candles of a series that begins at `T0`, and have a new worker compute it."""
        self.candles.write([Write(SERIES, records, Origin.given(T0))])
        evaluator = Evaluator(self.candles, self.alerts, alert_settings(text), (M5,))
        first_s, last_s = int(records["start_s"][0]), int(records["start_s"][-1])
        self.clock.set((last_s + 300) * 1000)
        clock = self.clock.read()
        assert clock
        Computer(self.candles, self.indicators, "coinbase", (M5,), evaluator).update(
            [ChangedRange("BTC-USD", M5, first_s, last_s)], clock.exchange_s
        )

    def stored(self) -> list[StoredAlert]:
        """Oldest first."""
        return self.alerts.newest(100, lambda _: True)[0][::-1]

    def standing(self) -> list[int]:
        """The bars of the alerts that stand."""
        return [(alert.fact["start"] - T0) // 300 for alert in self.stored() if alert.withdrawn is None]

    def cursor(self) -> AlertCursor:
        (cursor,) = self.indicators.read_cursors([SERIES])
        assert cursor
        return cursor


@pytest.fixture
def installation(redis_client: Redis) -> Installation:
    return Installation(redis_client)


def bars(first: int, *closes: float, flags: int = CandleState.CLOSED) -> Records:
    """Candles from a bar on, with these closes."""
    records = np.zeros(len(closes), RECORD)
    records["start_s"] = T0 + 300 * (first + np.arange(len(closes)))
    records["flags"], records["observed_ms"] = flags, 1
    records["open"], records["close"], records["volume"] = closes, closes, 1
    records["high"], records["low"] = np.array(closes) + 1, np.array(closes) - 1
    return records


def again(records: Records, *closes: float, flags: int = CandleState.CONFIRMED) -> Records:
    """The same buckets as REST reports them."""
    confirmed = records.copy()
    confirmed["flags"], confirmed["observed_ms"] = flags, 2
    if closes:
        confirmed["open"], confirmed["close"] = closes, closes
        confirmed["high"], confirmed["low"] = np.array(closes) + 1, np.array(closes) - 1
    return confirmed


@pytest.mark.parametrize(
    "text", [OTHER, rule("150, 170"), rule(more="cooldown_bars = 5\n"), rule(more='timeframes = ["1h"]\n')]
)
def test_an_alert_of_a_removed_or_changed_rule_is_left_alone(
    installation: Installation, redis_client: Redis, text: str
) -> None:
    old = bars(0, *[100.0] * 99)
    installation.put(old)
    installation.put(bars(99, 160.0))
    assert installation.standing() == [99]
    installation.put(again(old[50:51], 101.0), text)
    installation.put(bars(100, 160.0), text)
    installation.put(bars(101, 160.0), text)
    installation.put(again(bars(99, 160.0), 120.0, flags=CandleState.CLOSED), text)
    assert installation.standing() == [99], "although it is wrong now: nobody can say what the old rule says"
    assert redis_client.zrange("cw:2:deliveries:log:waiting", 0, -1) == [
        b"raised|" + installation.stored()[0].id.encode()
    ]


def test_an_alert_of_the_same_rule_is_withdrawn_by_a_correction_and_restored_by_another(
    installation: Installation, redis_client: Redis
) -> None:
    installation.put(bars(0, *[100.0] * 99))
    newest = bars(99, 160.0)
    installation.put(newest)
    installation.put(again(newest, 120.0, flags=CandleState.CLOSED))
    assert installation.standing() == []
    right = again(newest)
    right["observed_ms"] = 3
    installation.put(right)
    assert installation.standing() == [99]
    events = EventStream(redis_client).read(BEFORE_ALL).events
    assert {event.kind for event in events} == set(KEPT_KINDS)
    for event in events:
        check(PAYLOADS[event.kind], event.data)


def test_an_alert_is_judged_again_as_long_as_its_candles_are_there(installation: Installation) -> None:
    """Its candles may change during a downtime of days: the next change of other candles finds it."""
    installation.put(bars(0, *[100.0] * 99))
    installation.put(bars(99, 160.0))
    installation.put(bars(100, *[160.0] * 850))
    installation.put(again(bars(99, 160.0), 120.0, flags=CandleState.CLOSED))
    assert installation.standing() == [99], "that is too old to be looked for"
    installation.put(again(bars(940, 160.0), 161.0))
    assert installation.standing() == []


def test_an_older_alert_is_withdrawn_by_a_correction_of_its_bar_and_restored_by_another(
    installation: Installation,
) -> None:
    installation.put(bars(0, *[100.0] * 99))
    older = bars(99, 160.0)
    installation.put(older)
    installation.put(bars(100, 160.0, 160.0))
    installation.put(again(older, 120.0, flags=CandleState.CLOSED))
    assert installation.standing() == [], "and at 100, which crosses now, nothing is raised any more"
    right = again(older)
    right["observed_ms"] = 3
    installation.put(right)
    assert installation.standing() == [99]


def test_an_older_alert_that_a_correction_would_hide_stays(installation: Installation) -> None:
    """It was right when it was raised, and its event has happened."""
    text = rule(more="cooldown_bars = 5\n")
    old = bars(0, *[100.0] * 99)
    installation.put(old, text)
    installation.put(bars(99, 160.0), text)
    installation.put(bars(100, 160.0), text)
    installation.put(again(old[96:97], 160.0), text)
    assert installation.standing() == [99]


def test_an_alert_hidden_by_an_earlier_one_is_not_restored_by_a_correction(installation: Installation) -> None:
    text = rule(more="cooldown_bars = 5\n")
    old = bars(0, *[100.0] * 90)
    installation.put(old, text)
    installation.put(bars(98, 100.0), text)
    installation.put(bars(99, 160.0), text)
    assert installation.standing() == [99]
    installation.put(bars(90, *[100.0] * 6, 160.0, 100.0), text)
    installation.put(bars(100, 160.0), text)
    assert installation.standing() == [96, 97], "at 99 it is a repetition, four bars after it was told"
    installation.put(again(old[50:51], 101.0), text)
    assert installation.standing() == [96, 97]


def test_an_alert_takes_over_another_event_of_its_rule_at_the_same_bar(
    installation: Installation, redis_client: Redis
) -> None:
    """As after a gap: the first values rest on a short window and may show another event."""
    text = rule("150, 170")
    installation.put(bars(0, *[100.0] * 99), text)
    newest = bars(99, 160.0)
    installation.put(newest, text)
    installation.put(again(newest, 180.0, flags=CandleState.CLOSED), text)
    (alert,) = installation.stored()
    assert (alert.event, alert.withdrawn, alert.fact["price"]) == ("170 up", None, 180.0)
    waiting = redis_client.zrange("cw:2:deliveries:log:waiting", 0, -1)
    assert sorted(waiting) == [f"{kind}|{alert.id}".encode() for kind in ("raised", "restored")]


def test_a_provisional_candle_raises_nothing_until_it_is_confirmed(installation: Installation) -> None:
    installation.put(bars(0, *[100.0] * 99))
    provisional = bars(99, 160.0, flags=CandleState.CLOSED | PROVISIONAL)
    installation.put(provisional)
    installation.put(bars(100, 160.0))
    assert installation.stored() == []
    installation.candles.write([Write(SERIES, again(provisional))])
    installation.put(bars(101, 160.0))
    assert installation.standing() == [99]
    assert installation.stored()[0].fact["confirmed"] is True


@pytest.mark.parametrize(("close", "standing"), [(120.0, [100]), (170.0, [99])])
def test_a_corrected_provisional_candle_raises_the_true_alert(
    installation: Installation, close: float, standing: list[int]
) -> None:
    installation.put(bars(0, *[100.0] * 99))
    provisional = bars(99, 160.0, flags=CandleState.CLOSED | PROVISIONAL)
    installation.put(provisional)
    installation.put(bars(100, 160.0))
    installation.put(bars(101, 160.0))
    installation.put(again(provisional, close))
    assert installation.standing() == standing
    assert installation.cursor().pending_s == installation.cursor().evaluated_s


def test_a_candle_that_becomes_provisional_withdraws_nothing_until_it_is_resolved(installation: Installation) -> None:
    installation.put(bars(0, *[100.0] * 99))
    newest = bars(99, 160.0)
    installation.put(newest)
    installation.put(again(newest, 120.0, flags=CandleState.CLOSED | PROVISIONAL))
    installation.put(bars(100, 121.0))
    assert installation.standing() == [99]
    resolved = again(newest, 120.0)
    installation.candles.write([Write(SERIES, resolved)])
    installation.put(bars(101, 121.0))
    assert installation.standing() == []


def test_an_old_candle_that_becomes_provisional_withdraws_nothing_until_it_is_resolved(
    installation: Installation,
) -> None:
    installation.put(bars(0, *[100.0] * 99))
    old = bars(99, 160.0)
    for records in (old, bars(100, 160.0), bars(101, 160.0), bars(102, 160.0)):
        installation.put(records)
    installation.put(again(old, 120.0, flags=CandleState.CLOSED | PROVISIONAL))
    assert installation.standing() == [99]
    resolved = again(old, 121.0)
    resolved["observed_ms"] = 3
    installation.put(resolved)
    assert installation.standing() == []


def test_bars_judged_by_a_faster_worker_are_not_pending_again(installation: Installation) -> None:
    for revision, pending in enumerate((100, 200, 150), start=1):
        cursor = AlertCursor(T0, T0 + 300 * 200, T0 + 300 * pending)
        change = AlertChange(cursor, revision == 1, [], "", [], [])
        installation.indicators.write([IndicatorValue(SERIES, revision, T0, {}, change)])
    assert installation.cursor().pending_s == T0 + 300 * 200


def test_alerts_behind_a_gap_stand_once_it_is_filled_in_any_order(installation: Installation) -> None:
    closes = [100.0] * 80 + [160.0, 160.0, 100.0, 160.0, 100.0, 100.0, 160.0, 160.0]
    candles = bars(0, *closes)
    installation.put(candles[:80])
    for some in (candles[86:87], candles[87:], candles[82:84], candles[84:86], candles[80:82]):
        installation.put(some)
    # To 160 at 80, back at 82, to 160 at 83 and 86: three bars after an alert a repetition is an alert.
    assert installation.standing() == [80, 82, 83, 86]


def test_values_from_before_redis_lost_its_data_raise_nothing(
    installation: Installation, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker read the old data; its findings are history in the empty Redis."""
    installation.put(bars(0, 100, 100))
    write = installation.indicators.write

    def write_late(values: Iterable[IndicatorValue], now_s: float = 0, rules_version: str = "") -> Any:
        redis_client.flushdb()
        return write(values, now_s, rules_version)

    with monkeypatch.context() as patched:
        patched.setattr(installation.indicators, "write", write_late)
        installation.put(bars(2, 200))
    assert installation.stored() == []
    assert installation.indicators.read_cursors([SERIES]) == [None]
    installation.put(bars(0, 100, 100, 200, 200))
    assert installation.stored() == [], "the first look only marks where history ends"
    installation.put(bars(4, 100))
    assert installation.standing() == [4]
