"""Query parameters of the routes, with their bounds. An empty parameter counts as absent."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from app.indicators.window import WINDOW
from app.market.timeframes import BASE, Timeframe
from app.query.lookup import MAX_CANDLES
from app.util.timestamps import parse_time


def _moment(value: object) -> object:
    return parse_time(value) if isinstance(value, str) else value


Moment = Annotated[int, BeforeValidator(_moment)]


class Parameters(BaseModel):
    """Unknown parameters are refused: a mistyped name must not lead to the answer to another query."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v not in ("", None)} if isinstance(values, dict) else values


class SeriesQuery(Parameters):
    timeframe: Timeframe = Field(BASE, description="Candle length.")


class CandleQuery(SeriesQuery):
    start: Moment | None = Field(
        None, description="First bucket: UNIX seconds or ISO 8601, aligned to the timeframe.", examples=[1738324800]
    )
    end: Moment | None = Field(
        None, description="Last bucket (inclusive), written like `start`; now (exchange time) if absent."
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=MAX_CANDLES,
        description="Number of candles. With `start`: the first from there (all if absent). "
        "Without: the newest (500 if absent).",
    )


class IndicatorQuery(SeriesQuery):
    limit: int = Field(100, ge=1, le=WINDOW, description="How many of the newest values.")
