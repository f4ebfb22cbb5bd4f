"""The judge of whole-system tests: what the cache should hold, from the exchange's own truth and nothing of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

import requests

from app.cache.model import View
from app.candles import State
from app.records import EMPTY, STATE_MASK
from app.repair.needs import Rules
from app.series import Series
from app.settings import WINDOW
from app.timeframes import Timeframe
from tests.macdv_reference import reference_macdv
from tests.support import eventually
from tests.system import System


class Bar(NamedTuple):
    """What can be true of a bucket: prices, volume, and whether there were trades."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: bool


class Exchange:
    """A local exchange in a process of its own, asked for its truth and told its faults over HTTP."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port = port
        self.rest_url = f"http://{host}:{port}"
        self.ws_url = f"ws://{host}:{port}"

    def get(self, path: str, **params: object) -> Any:
        answer = requests.get(self.rest_url + path, params=params, timeout=30)  # type: ignore[arg-type]
        answer.raise_for_status()
        return answer.json()

    def inject(self, fault: str, **params: object) -> None:
        """Switch a fault on; see docs/local-exchange.md for their names."""
        answer = requests.post(f"{self.rest_url}/local/faults", json={"fault": fault, **params}, timeout=30)
        assert answer.ok, answer.text

    def clear(self) -> None:
        """Switch all faults off."""
        requests.delete(f"{self.rest_url}/local/faults", timeout=30).raise_for_status()

    def jump(self, seconds: float) -> None:
        """Set its clock forward, or back."""
        body = {"jump_ms": int(seconds * 1000)}
        requests.post(f"{self.rest_url}/local/clock", json=body, timeout=30).raise_for_status()

    def now_s(self) -> float:
        return float(self.get("/local/clock")["exchange_ms"]) / 1000

    def requests_for_candles(self) -> list[dict[str, Any]]:
        """Every REST request for candles so far."""
        return [r for r in self.get("/local/ledger")["requests"] if r["path"].endswith("/candles")]

    def truth(self, product: str, timeframe: Timeframe, first_s: int, last_s: int) -> dict[int, Bar]:
        """Every bucket that had trades, by its start."""
        end_s = last_s + timeframe.seconds
        rows = self.get("/local/truth", product=product, timeframe=timeframe, start=first_s, end=end_s)["candles"]
        return {
            int(r["start"]): Bar(*(float(r[f]) for f in ("open", "high", "low", "close", "volume")), True) for r in rows
        }


def expected(truth: Mapping[int, Bar], first_s: int, last_s: int, step: int) -> dict[int, Bar]:
    """`truth` with its empty buckets carried, from the first bucket with trades in the range on."""
    bars: dict[int, Bar] = {}
    for start in range(first_s, last_s + 1, step):
        if start in truth:
            bars[start] = truth[start]
        elif bars:
            close = bars[start - step].close
            bars[start] = Bar(close, close, close, close, 0.0, False)
    return bars


def held(view: View) -> dict[int, Bar]:
    """What the cache holds: closed and confirmed candles."""
    return {
        start: Bar(*values, not flags & EMPTY)
        for start, flags, _, *values in view.records.tolist()
        if flags & STATE_MASK >= State.CLOSED
    }


def wrong_candles(
    system: System, exchange: Exchange, products: Sequence[str], timeframes: Sequence[Timeframe], now_s: float
) -> Iterator[str]:
    """Every settled bucket of every series in which the cache differs from the truth, with both sides.

    A series is looked at when its turn comes: who waits until there are none needs only the first.
    """
    rules = Rules(system.context.settings.close_grace_seconds, system.context.settings.settling_seconds)
    for product in products:
        for timeframe in timeframes:
            series, settled_s = Series("coinbase", product, timeframe), rules.settled(timeframe, now_s)
            view = system.context.candles.read(series, settled_s - 999 * timeframe.seconds, settled_s)
            if not view.origin_s:
                yield f"{series}: nothing is known"
                continue
            first_s = max(view.origin_s, view.from_s + 2 * timeframe.seconds)
            truth = exchange.truth(product, timeframe, first_s, settled_s)
            bars = expected(truth, first_s, settled_s, timeframe.seconds)
            yield from (f"{series} {text}" for text in differences(bars, held(view)))


def differences(truth: Mapping[int, Bar], cache: Mapping[int, Bar]) -> list[str]:
    lines = []
    for start, bar in truth.items():
        mine = cache.get(start)
        if mine is None:
            lines.append(f"{start}: missing; it is {bar}")
        elif mine[:4] != bar[:4] or mine.trades != bar.trades or abs(mine.volume - bar.volume) > 1e-9 * bar.volume:
            lines.append(f"{start}: {mine}; it is {bar}")
    return lines


def wrong_indicators(system: System, products: Sequence[str], timeframes: Sequence[Timeframe]) -> Iterator[str]:
    """Every series whose stored indicator is not what an independent computation makes of the cached candles."""
    now_s = system.now_s()
    for product in products:
        for timeframe in timeframes:
            series, newest = Series("coinbase", product, timeframe), timeframe.bucket(now_s)
            view = system.context.candles.read(series, newest - WINDOW * timeframe.seconds, newest)
            (value,) = system.context.indicators.read_many([series])
            bars = held(view)
            starts = sorted(bars)
            if any(b - a != timeframe.seconds for a, b in pairwise(starts)):
                yield f"{series}: has a hole"
            elif value is None and not starts:
                continue  # it has had no trades in this timeframe yet
            elif value is None or value.start_s != starts[-1]:
                yield f"{series}: the newest indicator is of {value and value.start_s}, not {starts[-1:]}"
            else:
                yield from _wrong_values(series, value.data, [bars[s] for s in starts][-WINDOW:])


def _wrong_values(series: Series, data: Mapping[str, Any], bars: Sequence[Bar]) -> list[str]:
    if len(bars) < 60:
        return [] if not data["ready"] and data["reason"] else [f"{series}: {len(bars)} candles, and yet {data}"]
    reference = reference_macdv(
        [b.high for b in bars], [b.low for b in bars], [b.close for b in bars], [b.trades for b in bars]
    )
    wrong = []
    for name in ("macdv", "signal", "histogram", "fast_ema", "slow_ema", "atr"):
        theirs, ours = reference[name][-1], data.get(name)
        if theirs is None or ours is None:
            if theirs != ours:
                wrong.append(f"{series}: {name} is {ours}, it should be {theirs}")
        elif abs(ours - theirs) > 1e-9 * max(1.0, abs(theirs)):
            wrong.append(f"{series}: {name} is {ours}, it should be {theirs}")
    return wrong


def none(problems: Iterable[str]) -> bool:
    """True where there are none; else `AssertionError` with the first of them."""
    first = list(islice(problems, 5))
    assert not first, "\n".join(first)
    return True


def assert_true(system: System, exchange: Exchange, timeout: float = 30.0, now_s: float = 0) -> None:
    """Soon, the cache holds the truth up to `now_s` (exchange time; now, if not given), and the indicators follow."""
    now_s, timeframes = now_s or exchange.now_s(), system.context.settings.timeframes
    products = list(system.context.products.delivered())

    def all_are_true() -> bool:
        for product in list(products):
            problems = list(islice(wrong_candles(system, exchange, [product], timeframes, now_s), 5))
            if problems:
                products.insert(0, products.pop(products.index(product)))  # the next look begins where it ends anyway
                raise AssertionError("\n".join(problems))
        return True

    eventually(all_are_true, timeout=timeout, interval=0.3)
    eventually(lambda: none(wrong_indicators(system, products, timeframes)), timeout=10, interval=0.1)
