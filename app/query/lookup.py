"""Queries for products, candles and indicators, for the API and the command line.

Answers are plain dictionaries, built directly from the arrays. Read-only. Every value comes from the cache,
or is computed from cached values by the function that the workers use.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from app.errors import InvalidInput, Unready
from app.indicators.macdv import MacdvSeries, macdv_of_batch
from app.indicators.readiness import readiness_of_batch
from app.indicators.window import WINDOW
from app.market.candles import LABELS
from app.market.carry_forward import contiguous_tail
from app.market.product_ids import typed
from app.market.records import RECORD, Records, state_of
from app.market.series import Series
from app.market.timeframes import BASE, Timeframe
from app.query.rows import candle_rows, indicator_rows
from app.storage.fitness import behind_of, read_facts
from app.storage.indicators import IndicatorValue
from app.storage.model import NOTHING, Range, View
from app.storage.stores import Stores
from app.util.caches import kept_for
from app.wire.candles import CandlesAnswer
from app.wire.fields import DataAnswer, part_of
from app.wire.indicators import IndicatorInShort, IndicatorsAnswer, LatestIndicator, ProductRow, ProductsAnswer

MAX_CANDLES = 100_000
"""Most candles in one answer."""

FOLLOWED_FOR_S = 1.0
"""Real seconds for which the list of followed products is cached."""

CLOCK_FOR_S = 0.1
"""The same for the exchange's clock. It only bounds ranges, and is published 4 times per second."""

SERVER_FOR_S = 1.0
"""The same for whether the server is a replica."""


class NotFollowed(InvalidInput):
    """The product or timeframe is not followed by this installation."""


class Newest(NamedTuple):
    """A request for the newest `limit` candles of a series."""

    product: str
    timeframe: Timeframe
    limit: int


class Lookup:
    """Answers queries. Safe to call from any number of threads."""

    def __init__(self, stores: Stores, timeframes: Sequence[Timeframe]) -> None:
        self._stores = stores
        self._timeframes = timeframes
        self._followed = kept_for(FOLLOWED_FOR_S, lambda: {p.product: p for p in stores.products.read()})
        self._clock = kept_for(CLOCK_FOR_S, stores.clock.read)
        self._behind = kept_for(SERVER_FOR_S, lambda: behind_of(read_facts(stores.redis)))

    def products(self) -> ProductsAnswer:
        """Every followed product with the latest indicator of each timeframe, None if there is none."""
        followed, names = self._stores.products.read(), [str(t) for t in self._timeframes]
        many = [Series(self._stores.exchange, p.product, t) for p in followed for t in self._timeframes]
        values = self._stores.indicators.read_many(many)
        in_short = iter([part_of(value.data, IndicatorInShort) if value else None for value in values])
        rows: list[ProductRow] = [
            {
                "product": p.product,
                "source": p.source,
                "refused": p.refused,
                "latest": {name: next(in_short) for name in names},
            }
            for p in followed
        ]
        return {"exchange": self._stores.exchange, "timeframes": names, "products": rows, **self._stale()}

    def candles(
        self,
        product: str,
        timeframe: Timeframe = BASE,
        *,
        start_s: int | None = None,
        end_s: int | None = None,
        limit: int | None = None,
        rows: Callable[[Records], Any] = candle_rows,
    ) -> CandlesAnswer:
        """Candles with bucket starts from `start_s` to `end_s` (inclusive), oldest first.

        With `start_s`: the first `limit` candles from there (default: all). Without: the newest `limit` (500).
        Missing candles are left out. `rows` converts the records for the answer.
        Raises `InvalidInput`, `NotFollowed`, `Unready` (no clock yet).
        """
        series = self.series(product, timeframe)
        _check_range(timeframe, start_s, end_s, limit)
        last = timeframe.next(self._now_s())  # a bucket may be written just before the clock reaches its start
        last = last if end_s is None else min(last, end_s)
        view = self._read(series, start_s, last, limit or (WINDOW if start_s is None else MAX_CANDLES))
        return self._answer(series, view, rows)

    def newest(
        self, asked: Sequence[Newest], rows: Callable[[Records], Any] = candle_rows
    ) -> list[CandlesAnswer | InvalidInput]:
        """The answer of `candles` to each of `asked`, or the error that it raises; usually in one read.

        Raises `Unready` (no clock yet).
        """
        found: dict[Newest, CandlesAnswer | InvalidInput] = {}
        ranges: dict[Newest, Range] = {}
        now_s: float | None = None
        for one in asked:
            try:
                series = self.series(one.product, one.timeframe)
                _check_range(one.timeframe, None, None, one.limit)
                now_s = now_s or self._now_s()
            except InvalidInput as error:
                found[one] = error
            else:
                ranges[one] = Range(series, *_reach(one.timeframe, one.timeframe.next(now_s), one.limit))
        views = self._stores.candles.read_many(list(ranges.values()))
        for (one, (series, _, last)), view in zip(ranges.items(), views, strict=True):
            if len(view.records) < one.limit:
                view = self._read(series, None, last, one.limit)
            try:
                found[one] = self._answer(series, view._replace(records=view.records[-one.limit :]), rows)
            except InvalidInput as error:
                found[one] = error
        return [found[one] for one in asked]

    def _answer(self, series: Series, view: View, rows: Callable[[Records], Any]) -> CandlesAnswer:
        if not view.revision:
            self.check_delivered(series)
        product, timeframe, stale = series.product, series.timeframe, self._stale()
        return {"product": product, "timeframe": timeframe, **stale, "candles": rows(view.records)}

    def _stale(self) -> DataAnswer:
        """Why an answer may be old; empty if it is read from a master."""
        behind = self._behind()
        return {"stale": behind} if behind else {}

    def indicators(self, product: str, timeframe: Timeframe = BASE, *, limit: int = 100) -> IndicatorsAnswer:
        """MACD-V of the newest closed candles: the worker's `latest` value, and the newest `limit` of the `series`.

        Raises `InvalidInput`, `NotFollowed`, `Unready` (no clock yet).
        """
        series = self.series(product, timeframe)
        if not 1 <= limit <= WINDOW:
            raise InvalidInput(f"limit is {limit}; it must be 1 to {WINDOW}")
        newest = timeframe.bucket(self._now_s())
        view = self._stores.candles.read(series, newest - WINDOW * timeframe.seconds, newest)
        if not view.revision:
            self.check_delivered(series)
        latest = self._stores.indicators.read_many([series])[0]
        tail = contiguous_tail(view.over, timeframe)[-WINDOW:]
        values, reason = _macdv(tail.tobytes(), timeframe)
        answer: IndicatorsAnswer = {
            "product": series.product,
            "timeframe": timeframe,
            "ready": reason is None,
            "candles": len(tail),
            "latest": _latest(latest, view),
            "series": [] if reason else indicator_rows(values, limit),
        }
        if reason:
            answer["reason"] = reason
        return {**answer, **self._stale()}

    def series(self, product: str, timeframe: Timeframe) -> Series:
        """The requested series. Raises `NotFollowed` if it is not followed."""
        try:
            product = typed(product)
        except InvalidInput as error:
            raise NotFollowed(str(error)) from None
        followed = self._followed()
        if product not in followed:
            raise NotFollowed(f"{product} is not followed here{_hint(product, followed)}")
        self.check_timeframe(timeframe)
        return Series(self._stores.exchange, product, timeframe)

    def check_timeframe(self, timeframe: Timeframe) -> None:
        """Raises `NotFollowed` if `timeframe` is not kept."""
        if timeframe not in self._timeframes:
            kept = ", ".join(self._timeframes)
            raise NotFollowed(f"timeframe {timeframe} is not kept here: use one of {kept}")

    def check_delivered(self, series: Series) -> None:
        """Raises `NotFollowed` if the exchange refuses the product."""
        product = self._followed().get(series.product)
        if product and product.refused is not None:
            raise NotFollowed(f"{series.product} is not delivered by the exchange: {product.refused}")

    def _read(self, series: Series, start_s: int | None, last: int, limit: int) -> View:
        """The first `limit` candles from `start_s`, or the newest `limit` up to `last`."""
        reach = (limit + 1) * series.timeframe.seconds
        ends = _reach(series.timeframe, last, limit) if start_s is None else (start_s, min(last, start_s + reach))
        view = self._stores.candles.read(series, *ends) if ends[0] <= ends[1] else NOTHING
        if len(view.records) < limit and ends != (whole := (start_s or 0, last)) and whole[0] <= whole[1]:
            view = self._stores.candles.read(series, *whole)  # candles are missing, or the series begins later
        records = view.records[-limit:] if start_s is None else view.records[:limit]
        return view._replace(records=records)

    def _now_s(self) -> float:
        clock = self._clock()
        if clock is None:
            raise Unready("the exchange's clock has not been received yet: is an ingest process running?")
        return clock.exchange_s


def _reach(timeframe: Timeframe, last: int, limit: int) -> tuple[int, int]:
    """The range of the newest `limit` candles up to `last`, if none is missing."""
    return max(0, last - (limit + 1) * timeframe.seconds), last


MAX_COMPARED_IDS = 20
"""Ids that are compared to find a suggestion."""


def _hint(product: str, followed: Iterable[str]) -> str:
    """A suggestion for a mistyped product. Typing mistakes are seldom in all of the first letters. Comparing with 700
    ids takes 6 ms of the thread that serves all requests; with ids that begin alike, 0.1 ms.
    """
    alike = [p for p in followed if p[:2] == product[:2] or p[:3] == product[1:4]][:MAX_COMPARED_IDS]
    near = difflib.get_close_matches(product, alike, n=1)
    return f"; did you mean {near[0]}?" if near else "; see /v1/products or `candlewick products`"


def _check_range(timeframe: Timeframe, start_s: int | None, end_s: int | None, limit: int | None) -> None:
    for name, value in (("start", start_s), ("end", end_s)):
        if value is not None and not timeframe.is_aligned(value):
            near = timeframe.bucket(value)
            raise InvalidInput(
                f"{name} is {value}, which is not the start of a {timeframe} bucket: "
                f"the nearest are {near} and {near + timeframe.seconds}"
            )
    if start_s is not None and end_s is not None and start_s > end_s:
        raise InvalidInput(f"start ({start_s}) is after end ({end_s})")
    if limit is not None and not 1 <= limit <= MAX_CANDLES:
        raise InvalidInput(f"limit is {limit}; it must be 1 to {MAX_CANDLES}")


@lru_cache(maxsize=256)
def _macdv(packed: bytes, timeframe: Timeframe) -> tuple[MacdvSeries, str | None]:
    """The values of packed records, and why they are not ready, or None. Cached (15 MB): they seldom change."""
    tail = np.frombuffer(packed, RECORD)
    columns, values, _ = batch = macdv_of_batch([tail])
    (readiness,) = readiness_of_batch([tail], columns, values, [timeframe])
    return next(batch.of_each([tail])), readiness.reason if len(tail) else "no closed candle yet"


def _latest(value: IndicatorValue | None, view: View) -> LatestIndicator | None:
    """A whole indicator: the worker's value, the current state of its candle, the revision of its candles."""
    if value is None:
        return None
    candle = view.records[view.records["start_s"] == value.start_s]
    latest: LatestIndicator = {"start": value.start_s, **value.data, "revision": value.revision}
    if len(candle):
        latest["state"] = LABELS[int(state_of(candle)[0])]
    return latest
