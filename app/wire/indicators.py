"""Indicator values: stored, published, and answered."""

from __future__ import annotations

from typing import Annotated, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from app.market.candles import StateName
from app.wire.fields import Bucket, DataAnswer, Product, SeriesFields, StageName, TimeframeName

Macdv: TypeAlias = Annotated[float, Field(description="100 · (EMA12 − EMA26) / ATR26, in points.")]
Signal: TypeAlias = Annotated[float, Field(description="EMA9 of MACD-V, in points. Absent until it exists.")]
Histogram: TypeAlias = Annotated[float, Field(description="MACD-V minus its signal. Absent until it exists.")]
FastEma: TypeAlias = Annotated[float, Field(description="EMA12 of the close, in quote currency.")]
SlowEma: TypeAlias = Annotated[float, Field(description="EMA26 of the close, in quote currency.")]
Atr: TypeAlias = Annotated[float, Field(description="ATR26, in quote currency.")]
Ready: TypeAlias = Annotated[bool, Field(description="Whether there are enough candles for values.")]
Reason: TypeAlias = Annotated[str, Field(description="Why it is not ready; absent if it is.")]
Candles: TypeAlias = Annotated[int, Field(description="Closed candles without a gap behind the values; at most 500.")]


class LaterValues(TypedDict, total=False):
    """They begin some bars after MACD-V."""

    signal: Signal
    histogram: Histogram


class MacdvValues(LaterValues, total=False):
    """Absent while not ready."""

    macdv: Macdv
    fast_ema: FastEma
    slow_ema: SlowEma
    atr: Atr
    stage: StageName


class Doubts(TypedDict, total=False):
    """What speaks against a value; absent if there is nothing."""

    provisional: Annotated[int, Field(description="How many of the newest candles are provisional.")]
    reason: Reason
    error: Annotated[float, Field(description="How far MACD-V may be from that of the whole history, in points.")]


class IndicatorRow(Bucket, LaterValues):
    """The values of one bar."""

    macdv: Macdv
    fast_ema: FastEma
    slow_ema: SlowEma
    atr: Atr
    stage: StageName | None


class Indicator(SeriesFields, Bucket, MacdvValues, Doubts):
    """The newest value of a series and its basis: stored, and the data of the event `indicator`."""

    close: Annotated[float, Field(description="Close of the bar, in quote currency.")]
    ready: Ready
    candles: Candles
    traded: Annotated[int, Field(description="How many of them have trades.")]
    state: StateName


class LatestIndicator(Indicator):
    """The stored value, with the present state of its candle."""

    revision: Annotated[int, Field(description="Grows with each change of the candles of the series.")]


class IndicatorsAnswer(DataAnswer):
    product: Product
    timeframe: TimeframeName
    ready: Ready
    candles: Candles
    latest: Annotated[
        LatestIndicator | None, Field(description="The value that the worker stored last, and its basis.")
    ]
    series: Annotated[list[IndicatorRow], Field(description="Oldest first; empty while not ready.")]
    reason: NotRequired[Reason]


class IndicatorInShort(Bucket):
    ready: Ready
    macdv: NotRequired[Macdv]
    signal: NotRequired[Signal]
    histogram: NotRequired[Histogram]
    stage: NotRequired[StageName]


class ProductRow(TypedDict):
    product: Product
    source: Annotated[str, Field(description="The product whose frames feed it: another one for an alias.")]
    refused: Annotated[str | None, Field(description="Why the exchange does not deliver it.")]
    latest: Annotated[
        dict[str, IndicatorInShort | None], Field(description="By timeframe: the newest indicator, in short.")
    ]


class ProductsAnswer(DataAnswer):
    exchange: str
    timeframes: list[TimeframeName]
    products: list[ProductRow]


class OverviewCell(Bucket):
    macdv: NotRequired[Macdv]
    histogram: NotRequired[Histogram]
    stage: NotRequired[StageName]


class OverviewTimeframe(TypedDict):
    name: TimeframeName
    seconds: int


class OverviewRow(TypedDict):
    product: Product
    refused: Annotated[str | None, Field(description="Why the exchange does not deliver it.")]
    price: Annotated[float | None, Field(description="Newest known price, of the forming candle if there is one.")]
    change: Annotated[float | None, Field(description="Against the price of 24 hours ago: 0.01 is one per cent up.")]
    newest: Annotated[int | None, Field(description="Start of the newest closed candle of 5m, UNIX seconds.")]
    latest: Annotated[
        dict[str, OverviewCell | None], Field(description="By timeframe: the newest indicator, in a few numbers.")
    ]


class OverviewAnswer(TypedDict):
    exchange: str
    exchange_ms: Annotated[
        int | None, Field(description="The exchange's clock, UNIX milliseconds; null until received.")
    ]
    settling_seconds: float
    timeframes: list[OverviewTimeframe]
    products: list[OverviewRow]
