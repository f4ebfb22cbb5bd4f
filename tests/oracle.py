"""The judge of whole-system tests: the expected content of the cache, from the exchange and the configuration alone.

The truth begins with the oldest bucket that the exchange has and a ring can hold; the products are those that the
configuration means at the exchange now. Only candles and indicators of the system are read: its own records (origins,
followed products, completeness) do not decide which buckets are judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from app.indicators.window import WINDOW
from app.market.candles import CandleState
from app.market.records import EMPTY, STATE_MASK
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.model import View
from tests.exchange import Bar, Exchange
from tests.macdv_reference import reference_macdv
from tests.support import eventually
from tests.system import System

__all__ = [
    "Bar", "Exchange", "Ring", "assert_true", "differences", "expected", "followed", "held", "none", "products_meant",
    "wrong_candles", "wrong_indicators",
]  # fmt: skip

Products: TypeAlias = Mapping[str, str]
"""Each product with the one whose trades feed it: itself, unless it is an alias."""

TAIL_S = 900
"""Exchange seconds within which buckets are found to be empty, once the next trade after them has settled."""

MISSING_SHOWN = 3
"""Missing buckets of a series that are listed one by one."""


def products_meant(selection: Sequence[str], listing: Iterable[Mapping[str, Any]]) -> Products:
    """The products that `selection` (the setting PRODUCTS) means.

    `all:USD`: every spot product quoted in USD that is online and tradable, without aliases; `top:25:USD`: the 25 of
    them with the largest volume of 24 hours in USD. A named product is meant if it is listed and tradable, also an
    alias (BTC-USDC).
    """
    rows = {row["product_id"]: row for row in listing if _is_tradable(row)}
    ranked = sorted(rows.values(), key=lambda r: (-float(r["approximate_quote_24h_volume"] or 0), r["product_id"]))
    meant: dict[str, str] = {}
    for part in selection:
        kind, *rest = part.split(":")
        of_quote = (
            [r["product_id"] for r in ranked if r["quote_currency_id"] == rest[-1] and not r["alias"]] if rest else []
        )
        chosen = [kind] if not rest else of_quote[: int(rest[0])] if kind == "top" else of_quote
        meant |= {product: rows[product]["alias"] or product for product in chosen if product in rows}
    return meant


def _is_tradable(row: Mapping[str, Any]) -> bool:
    barred = ("trading_disabled", "is_disabled", "view_only")
    return row["product_type"] == "SPOT" and row["status"] == "online" and not any(row[name] for name in barred)


def followed(system: System, exchange: Exchange) -> Products:
    """The products that the configuration of `system` means at the exchange now."""
    return products_meant(system.context.settings.exchange(system.context.exchange).products, exchange.listing())


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
    """Closed and confirmed candles of the cache."""
    return {
        start: Bar(*values, not flags & EMPTY)
        for start, flags, _, *values in view.records.tolist()
        if flags & STATE_MASK >= CandleState.CLOSED
    }


class Ring:
    """The range of a ring of `timeframe` at `now_s`: all but two of its slots, up to the newest bucket that is over.

    The open bucket has the slot of the oldest, and one more is left for a clock that runs ahead.
    """

    def __init__(self, system: System, timeframe: Timeframe, now_s: float) -> None:
        self.step = timeframe.seconds
        self.last_s = timeframe.last_over(now_s)
        self.first_s = max(self.step, self.last_s - (system.context.settings.series_capacity - 3) * self.step)


def wrong_candles(
    system: System,
    exchange: Exchange,
    products: Products,
    timeframes: Sequence[Timeframe],
    now_s: float,
    *,
    unbroken_s: float = float("inf"),
) -> Iterator[str]:
    """Differences of the cache from the truth in every bucket that had settled at `now_s`, with both sides.

    A bucket with trades must be there. An empty bucket may be missing before the first trade that a ring can hold, and
    after the last trade that the exchange has, unless it began at `unbroken_s` or later: from then on a stream was
    there to report it as empty. Series are judged lazily, so a caller that stops at the first problem judges no more.
    """
    for product, source in products.items():
        for timeframe in timeframes:
            series = Series("coinbase", product, timeframe)
            problems = _wrong_candles_of(system, exchange, series, source, now_s, unbroken_s)
            yield from (f"{series} {text}" for text in problems)


def _wrong_candles_of(
    system: System, exchange: Exchange, series: Series, source: str, now_s: float, unbroken_s: float
) -> list[str]:
    timeframe, settings = series.timeframe, system.context.settings
    settled_s = timeframe.last_over(now_s - settings.settling_seconds)
    ring = Ring(system, timeframe, now_s)
    cache = held(system.context.candles.read(series, ring.first_s, settled_s))
    # Read after the cache: buckets that the ring has dropped since are not expected.
    present_s = exchange.now_s()
    first_s = Ring(system, timeframe, present_s).first_s
    truth = exchange.truth(source, timeframe, first_s, ring.last_s)
    bars = expected(truth, first_s, settled_s, timeframe.seconds)
    if not truth:
        return [f"{s}: there were no trades, and yet {bar}" for s, bar in cache.items() if bar.trades and s >= first_s]
    known_s = timeframe.last_over(present_s - settings.settling_seconds - TAIL_S)
    last_trade_s = max((s for s in exchange.truth(source, timeframe, first_s, known_s)), default=0)
    tail = {s for s in bars if last_trade_s < s < unbroken_s and not bars[s].trades and s not in cache}
    wrong = differences({s: bar for s, bar in bars.items() if s not in tail}, cache)
    early = (s for s in cache if first_s <= s < min(truth) and cache[s].trades)
    return wrong + [f"{s}: there were no trades, and yet {cache[s]}" for s in early]


def differences(truth: Mapping[int, Bar], cache: Mapping[int, Bar]) -> list[str]:
    """One line per bucket in which `cache` differs from `truth`; missing ones after the first few are counted."""
    missing = [start for start in truth if start not in cache]
    lines = [f"{start}: missing; it is {truth[start]}" for start in missing[:MISSING_SHOWN]]
    if len(missing) > MISSING_SHOWN:
        lines.append(f"{missing[0]} to {missing[-1]}: {len(missing)} of {len(truth)} missing")
    for start, bar in truth.items():
        mine = cache.get(start, bar)
        if mine[:4] != bar[:4] or mine.trades != bar.trades or abs(mine.volume - bar.volume) > 1e-9 * bar.volume:
            lines.append(f"{start}: {mine}; it is {bar}")
    return lines


def wrong_indicators(
    system: System, exchange: Exchange, products: Products, timeframes: Sequence[Timeframe], now_s: float = 0
) -> Iterator[str]:
    """Every series whose stored indicator is older than `now_s` (now, if not given), or differs from an independent
    computation over the true candles up to its bar.
    """
    for product, source in products.items():
        for timeframe in timeframes:
            yield from _wrong_indicator_of(system, exchange, Series("coinbase", product, timeframe), source, now_s)


def _wrong_indicator_of(system: System, exchange: Exchange, series: Series, source: str, now_s: float) -> Iterator[str]:
    timeframe, step = series.timeframe, series.timeframe.seconds
    (value,) = system.context.indicators.read_many([series])
    present_s = exchange.now_s()
    ring = Ring(system, timeframe, present_s)
    truth = exchange.truth(source, timeframe, ring.first_s, ring.last_s)
    due_s = timeframe.last_over((now_s or present_s) - system.context.settings.settling_seconds)
    newest_s = max((s for s in truth if s <= due_s), default=None)
    if value is None:
        if newest_s is not None:
            yield f"{series}: there is no indicator; it had trades at {newest_s}"
    elif newest_s is not None and value.start_s < newest_s:
        yield f"{series}: the newest indicator is of {value.start_s}, not {newest_s}"
    elif value.start_s > ring.last_s:
        yield f"{series}: the newest indicator is of {value.start_s}, which is not over"
    elif bars := list(expected(truth, ring.first_s, value.start_s, step).values()):
        # The newest 500 buckets by the clock, minus those by which it is behind.
        behind = (ring.last_s - value.start_s) // step + 1
        fewest, rests_on = min(len(bars), WINDOW - behind), value.data["candles"]
        if fewest <= rests_on <= min(len(bars), WINDOW):
            yield from _wrong_values(series, value.data, bars[-rests_on:])
        else:
            yield f"{series}: the indicator of {value.start_s} rests on {rests_on} candles; there are {len(bars)}"
    else:
        yield f"{series}: there is an indicator of {value.start_s}, and there were no trades"


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
    """True if there are no problems; else `AssertionError` with the first five."""
    first = list(islice(problems, 5))
    assert not first, "\n".join(first)
    return True


def assert_true(system: System, exchange: Exchange, now_s: float = 0, unbroken_s: float = float("inf")) -> None:
    """Wait until the cache holds the truth up to `now_s` (exchange time; default: now) and indicators follow."""
    now_s, timeframes = now_s or exchange.now_s(), system.context.settings.timeframes
    products = followed(system, exchange)
    assert products, "the configuration means no product"
    turns = list(products)

    def each(problems_in: Callable[[Products], Iterator[str]]) -> bool:
        for product in list(turns):
            problems = list(islice(problems_in({product: products[product]}), 5))
            if problems:
                turns.insert(0, turns.pop(turns.index(product)))  # start the next round with this one
                raise AssertionError("\n".join(problems))
        return True

    def candles(some: Products) -> Iterator[str]:
        return wrong_candles(system, exchange, some, timeframes, now_s, unbroken_s=unbroken_s)

    def indicators(some: Products) -> Iterator[str]:
        return wrong_indicators(system, exchange, some, timeframes, now_s)

    eventually(lambda: each(candles), interval=0.3)
    eventually(lambda: each(indicators), interval=0.1)
