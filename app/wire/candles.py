"""Candles: published, stored as corrections, and answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict

from app.market.candles import LABELS, StateName
from app.market.records import EMPTY, STATE_MASK
from app.wire.fields import Bucket, DataAnswer, Product, SeriesFields, TimeframeName

NUMBERS: tuple[Literal["open", "high", "low", "close", "volume"], ...] = ("open", "high", "low", "close", "volume")
"""Fields of a candle that are numbers."""

Provisional: TypeAlias = Annotated[bool, Field(description="Closed, but possibly wrong until REST has confirmed it.")]


class CandleValues(TypedDict):
    """What is known of a bucket. Prices in quote currency."""

    open: float
    high: float
    low: float
    close: float
    volume: Annotated[float, Field(description="In base currency.")]
    trades: Annotated[bool, Field(description="False: the exchange has proven that the bucket had no trades.")]
    state: StateName


def values_of(record: tuple[Any, ...], number: Callable[[float], Any] = float) -> CandleValues:
    """The values in a record of the cache; `number` converts each number."""
    _, flags, _, opened, high, low, close, volume = record
    return {
        "open": number(opened),
        "high": number(high),
        "low": number(low),
        "close": number(close),
        "volume": number(volume),
        "trades": not flags & EMPTY,
        "state": LABELS[flags & STATE_MASK],
    }


class CandleRow(Bucket, CandleValues):
    """A candle of one series."""

    corrected: Annotated[bool, Field(description="It replaced another closed candle of this bucket.")]
    provisional: Provisional


class FormingCandle(SeriesFields, Bucket, CandleValues):
    """Data of the event `forming`."""


class ClosedCandle(FormingCandle):
    """Data of the events `close` and `correction`."""

    provisional: Provisional


class CorrectedCandle(Bucket):
    """A closed candle that was replaced."""

    product: Product
    timeframe: TimeframeName
    exchange_ms: Annotated[int, Field(description="When it was noticed, on the exchange's clock.")]
    fields: Annotated[list[str], Field(description="Fields that differ.")]
    before: CandleValues
    after: CandleValues


class Correction(CorrectedCandle):
    """The same, with the reason why the candle was compared."""

    cause: Annotated[str, Field(examples=["reconcile"])]


class CandlesAnswer(DataAnswer):
    product: Product
    timeframe: TimeframeName
    candles: Annotated[list[CandleRow], Field(description="Oldest first. Missing candles are left out.")]
