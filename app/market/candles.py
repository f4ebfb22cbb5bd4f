"""The validated candle, in the same form for every exchange."""

from __future__ import annotations

from enum import IntEnum
from math import isfinite
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.market.timeframes import Timeframe

StateName: TypeAlias = Literal["forming", "closed", "confirmed"]


class CandleState(IntEnum):
    """How much is known about a bucket. A higher state knows more."""

    FORMING = 1
    CLOSED = 2
    CONFIRMED = 3


LABELS: dict[int, StateName] = {
    int(CandleState.FORMING): "forming",
    int(CandleState.CLOSED): "closed",
    int(CandleState.CONFIRMED): "confirmed",
}
"""Labels by number: enum members are slow to create and read."""


class UnifiedCandle(BaseModel):
    """One bucket of one product.

    `start_s`: start of the bucket, UNIX seconds. Prices in quote currency, `volume` in base currency. `trades` is
    false if the exchange has proven the bucket empty: it carries the previous close and has no volume.
    `observed_ms`: exchange time of the observation (UNIX milliseconds); of two equal states the later wins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exchange: str = Field(min_length=1)
    product: str = Field(min_length=1)
    timeframe: Timeframe
    start_s: int = Field(gt=0, lt=2**32)
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: bool = True
    state: CandleState = CandleState.FORMING
    observed_ms: int = Field(default=0, ge=0, lt=2**53)

    @model_validator(mode="after")
    def _is_possible(self) -> UnifiedCandle:
        prices = (self.open, self.high, self.low, self.close)
        if not all(map(isfinite, prices)) or not isfinite(self.volume):
            raise ValueError("price or volume is not a finite number")
        if min(prices) <= 0:
            raise ValueError("a price must be greater than 0")
        if self.volume < 0:
            raise ValueError("volume must not be negative")
        if not (self.low <= self.open <= self.high and self.low <= self.close <= self.high):
            raise ValueError("open and close must lie between low and high")
        if self.start_s % self.timeframe.seconds:
            raise ValueError(f"start {self.start_s} is not the start of a {self.timeframe} bucket")
        if not self.trades and (self.low != self.high or self.volume):
            raise ValueError("a bucket without trades has one price and no volume")
        return self

    @property
    def end_s(self) -> int:
        """End of the bucket, UNIX seconds."""
        return self.start_s + self.timeframe.seconds

    def with_state(self, state: CandleState) -> UnifiedCandle:
        return self.model_copy(update={"state": state})
