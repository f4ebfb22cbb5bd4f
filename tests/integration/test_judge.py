"""The judge of whole-system tests detects faults, made here by hand, that a system cannot detect itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
import pytest

from app.compute.computer import Computer
from app.market.candles import CandleState
from app.market.records import EMPTY, RECORD, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys
from app.storage.changed_ranges import ChangedRange
from app.storage.model import Origin, Write
from app.storage.products import FollowedProduct
from simulator import LocalExchange, SeededMarket
from tests.exchange import Bar, Exchange
from tests.oracle import TAIL_S, expected, followed, wrong_candles, wrong_indicators
from tests.system import System

pytestmark = pytest.mark.integration

OPENED_S = 1_614_816_000
NOW_S = OPENED_S + 30 * 3_600 + 130
M5, H1 = Timeframe.M5, Timeframe.H1
STEP = M5.seconds
NEWEST_S = M5.last_over(NOW_S)
"""Start of the newest settled bucket of 5m."""
HELD = 998
"""Closed buckets that a ring of 1,000 holds."""
OLDEST_S = NEWEST_S - (HELD - 1) * STEP
BTC, ETH = Series("coinbase", "BTC-USD", M5), Series("coinbase", "ETH-USD", M5)


class Stand:
    """A system without processes, and the exchange whose truth its cache holds."""

    def __init__(self, local: LocalExchange, system: System) -> None:
        self.local = local
        self.exchange = Exchange(local.port)
        self.system = system
        self._observed_ms = count(local.clock.now_ms())

    def truth(self, series: Series, first_s: int, last_s: int) -> dict[int, Bar]:
        truth = self.exchange.truth(series.product, series.timeframe, first_s, last_s)
        return expected(truth, first_s, last_s, series.timeframe.seconds)

    def write(self, series: Series, bars: dict[int, Bar], origin: Origin | None = None) -> None:
        """Write candles as confirmed by REST, later than any before; and the indicator of the newest."""
        observed_ms, context = next(self._observed_ms), self.system.context
        context.candles.write([Write(series, as_records(bars, observed_ms), origin)])
        changed = [ChangedRange(series.product, series.timeframe, max(bars), max(bars))]
        computer = Computer(context.candles, context.indicators, "coinbase", (series.timeframe,))
        computer.update(changed, self.exchange.now_s())

    def forget(self, series: Series) -> None:
        self.system.context.redis.delete(keys.candles(series), keys.indicator(series))

    def problems(self, unbroken_s: float = float("inf")) -> list[str]:
        products, now_s = followed(self.system, self.exchange), self.exchange.now_s()
        arguments = self.system, self.exchange, products, self.system.context.settings.timeframes, now_s
        return [*wrong_candles(*arguments, unbroken_s=unbroken_s), *wrong_indicators(*arguments)]


def as_records(bars: dict[int, Bar], observed_ms: int) -> Records:
    rows = [(s, CandleState.CONFIRMED | (0 if bar.trades else EMPTY), observed_ms, *bar[:5]) for s, bar in bars.items()]
    return np.array(rows, RECORD)


@contextmanager
def standing(redis_url: str, market: SeededMarket, now_s: float, products: str, timeframes: str) -> Iterator[Stand]:
    """A `Stand` with a stopped clock and an empty cache."""
    with LocalExchange(market, speed=0, start_ms=int(now_s * 1000)) as local:
        env = {
            "CANDLEWICK_COINBASE__PRODUCTS": products,
            "CANDLEWICK_TIMEFRAMES": timeframes,
            "CANDLEWICK_COINBASE__REST_URL": local.rest_url,
        }
        system = System(lambda *_, **__: None, redis_url, env)  # type: ignore[arg-type,return-value]
        yield Stand(local, system)
        system.context.redis.close()


@pytest.fixture
def stand(redis_url: str) -> Iterator[Stand]:
    """Two busy products with complete data."""
    with standing(redis_url, SeededMarket(7, start_s=OPENED_S, products=2), NOW_S, "all:USD", "5m,1h") as stand:
        for series in (BTC, ETH, BTC.at(H1), ETH.at(H1)):
            newest_s = series.timeframe.last_over(NOW_S - 60)
            oldest_s = newest_s - (HELD - 1) * series.timeframe.seconds
            stand.write(series, stand.truth(series, oldest_s, newest_s))
        yield stand


def test_the_truth_has_no_problem(stand: Stand) -> None:
    assert stand.problems() == []


def test_an_origin_that_moved_forward_hides_nothing(stand: Stand) -> None:
    """Wrong responses of REST did this after a long downtime: the first fifth of a series was never requested again."""
    later_s = OLDEST_S + 200 * STEP
    stand.forget(BTC)
    stand.write(BTC, stand.truth(BTC, later_s, NEWEST_S), Origin.given(later_s))
    truth = stand.truth(BTC, OLDEST_S, NEWEST_S)
    first = [OLDEST_S + n * STEP for n in range(3)]
    assert stand.problems() == [
        *(f"BTC-USD 5m {start_s}: missing; it is {truth[start_s]}" for start_s in first),
        f"BTC-USD 5m {OLDEST_S} to {later_s - STEP}: 200 of 998 missing",
    ]


def test_a_product_missing_in_the_system_is_expected(stand: Stand) -> None:
    stand.system.context.products.follow([FollowedProduct("ETH-USD", "ETH-USD")])
    for series in (BTC, BTC.at(H1)):
        stand.forget(series)
    problems = stand.problems()
    assert {p.split(" ")[0] for p in problems} == {"BTC-USD"}
    assert any("998 of 998 missing" in p for p in problems)
    assert any("there is no indicator" in p for p in problems)


def test_a_new_listing_is_expected_from_then_on(stand: Stand) -> None:
    stand.exchange.inject("list_product", product="TIA-USD")
    stand.exchange.jump(4 * 3_600)
    new = [p for p in stand.problems() if p.startswith("TIA-USD 5m")]
    assert new[0].startswith(f"TIA-USD 5m {NEWEST_S + STEP}: missing"), "it had no trades before it was listed"
    assert any("there is no indicator" in p for p in new)
    stand.exchange.inject("delist_product", product="TIA-USD")
    assert not [p for p in stand.problems() if p.startswith("TIA-USD")]


@pytest.mark.parametrize("timeframe", [M5, H1])
def test_one_wrong_candle_and_its_indicator_are_detected(stand: Stand, timeframe: Timeframe) -> None:
    series, newest_s = ETH.at(timeframe), timeframe.last_over(NOW_S - 60)
    wrong_s = newest_s - 20 * timeframe.seconds
    bars = stand.truth(series, wrong_s, newest_s)
    low = bars[wrong_s].low * 0.99
    stand.write(series, {**bars, wrong_s: bars[wrong_s]._replace(low=low, close=low)})
    wrong_candle, *wrong_values = stand.problems()
    assert wrong_candle.startswith(f"ETH-USD {timeframe} {wrong_s}: ")
    assert {p.split(": ")[1].split(" is ")[0] for p in wrong_values} >= {"macdv", "signal", "fast_ema"}


def test_false_trades_and_missing_trades_are_detected(stand: Stand) -> None:
    bar = stand.truth(BTC, NEWEST_S, NEWEST_S)[NEWEST_S]
    stand.write(BTC, {NEWEST_S: Bar(bar.close, bar.close, bar.close, bar.close, 0.0, trades=False)})
    assert stand.problems()[0].startswith(f"BTC-USD 5m {NEWEST_S}: Bar(")


def test_an_indicator_over_too_few_candles_is_detected(stand: Stand) -> None:
    later_s = NEWEST_S - 399 * STEP
    stand.forget(BTC)
    stand.write(BTC, stand.truth(BTC, later_s, NEWEST_S), Origin.given(later_s))
    of_the_indicator = f"BTC-USD 5m: the indicator of {NEWEST_S} rests on 400 candles; there are 998"
    assert of_the_indicator in stand.problems()


def test_a_stale_indicator_is_detected(stand: Stand) -> None:
    key = keys.indicator(BTC)
    old = stand.system.context.redis.hgetall(key)
    stand.exchange.jump(2 * STEP)
    for series in (BTC, ETH):
        stand.write(series, stand.truth(series, NEWEST_S + STEP, NEWEST_S + 2 * STEP))
    assert stand.problems() == []
    stand.system.context.redis.hset(key, mapping=old)
    assert stand.problems() == [f"BTC-USD 5m: the newest indicator is of {NEWEST_S}, not {NEWEST_S + 2 * STEP}"]


def test_the_tail_of_a_thin_product_may_be_missing_until_its_next_trade(redis_url: str) -> None:
    market = SeededMarket(7, start_s=OPENED_S)
    last_s, next_s = a_silence(market, "MLN-USD", buckets=8)
    series, now_s = Series("coinbase", "MLN-USD", M5), last_s + 6 * STEP
    with standing(redis_url, market, now_s, "MLN-USD", "5m") as stand:
        oldest_s = M5.last_over(now_s) - (HELD - 1) * STEP
        stand.write(series, stand.truth(series, oldest_s, last_s))
        assert stand.problems() == []
        assert "missing" in stand.problems(unbroken_s=last_s + STEP)[0], "a stream that was there knows better"
        stand.exchange.jump(next_s - now_s + STEP + 70)
        stand.write(series, stand.truth(series, next_s, next_s))
        assert [p for p in stand.problems() if "missing" in p] == [], "it takes a while to find out"
        stand.exchange.jump(TAIL_S)
        assert stand.problems()[0].startswith(f"MLN-USD 5m {last_s + STEP}: missing; it is Bar(")
        stand.forget(series)
        assert stand.problems()[0].startswith("MLN-USD 5m "), "nothing at all is not a tail"


def a_silence(market: SeededMarket, product: str, buckets: int) -> tuple[int, int]:
    """Starts of two buckets with trades, more than `buckets` apart, without trades between them."""
    starts = (
        np.unique(market.trades(product, OPENED_S * 1000, (OPENED_S + 30 * 86_400) * 1000).time_ms // 300_000) * STEP
    )
    found = np.flatnonzero(np.diff(starts) > buckets * STEP)[0]
    return int(starts[found]), int(starts[found + 1])
