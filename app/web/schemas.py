"""Models of the API's answers, for OpenAPI only. Answers are made without them: see `app.query.rows`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.indicators.stages import Stage
from app.market.timeframes import Timeframe


class ErrorInfo(BaseModel):
    code: str = Field(description="For programs.", examples=["invalid_input"])
    message: str = Field(description="For people: the problem, and how to correct it.")
    retry_after_s: int | None = Field(None, description="Seconds after which the same request may work.")


class ErrorAnswer(BaseModel):
    error: ErrorInfo


class Candle(BaseModel):
    start: int = Field(description="Start of the bucket, UNIX seconds.", examples=[1738324800])
    open: float
    high: float
    low: float
    close: float
    volume: float = Field(description="In base currency.")
    trades: bool = Field(description="False: the exchange has proven that the bucket had no trades.")
    state: Literal["forming", "closed", "confirmed"]
    corrected: bool = Field(description="It replaced another closed candle of this bucket.")
    provisional: bool = Field(description="Closed, but perhaps wrong until the exchange's REST confirms it.")


class DataAnswer(BaseModel):
    stale: str | None = Field(
        None, description="Why the answer may be old: it was read from a replica of Redis. Absent otherwise."
    )


class CandlesAnswer(DataAnswer):
    product: str = Field(examples=["BTC-USD"])
    timeframe: Timeframe
    candles: list[Candle] = Field(description="Oldest first. Missing candles are left out.")


class IndicatorRow(BaseModel):
    start: int = Field(description="Start of the candle that the value belongs to, UNIX seconds.")
    macdv: float
    signal: float | None = Field(None, description="Absent until it exists.")
    histogram: float | None = Field(None, description="Absent until it exists.")
    fast_ema: float
    slow_ema: float
    atr: float
    stage: Stage | None


class IndicatorsAnswer(DataAnswer):
    product: str = Field(examples=["BTC-USD"])
    timeframe: Timeframe
    ready: bool = Field(description="Whether there are enough candles for values.")
    candles: int = Field(description="Closed candles without a gap behind the values; at most 500.")
    latest: dict[str, Any] | None = Field(
        description="The value that the worker stored last, and its basis; `provisional`: how many of its "
        "newest candles are."
    )
    series: list[IndicatorRow] = Field(description="Oldest first; empty while not ready.")
    reason: str | None = Field(None, description="Why it is not ready; absent if it is.")


class ProductRow(BaseModel):
    product: str
    source: str = Field(description="The product whose frames feed it: another one for an alias.")
    refused: str | None = Field(description="Why the exchange does not deliver it.")
    latest: dict[str, dict[str, Any] | None] = Field(description="By timeframe: the newest indicator, in short.")


class ProductsAnswer(DataAnswer):
    exchange: str
    timeframes: list[Timeframe]
    products: list[ProductRow]


class Alive(BaseModel):
    status: Literal["alive"]


class ReadinessAnswer(BaseModel):
    ready: bool
    summary: str
    reasons: list[str]
