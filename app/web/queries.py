"""What may be asked of a route: its query parameters, with their bounds. An empty one counts as absent."""

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


class SeriesQuery(BaseModel):
    """A parameter that is not named here is refused: a mistyped one must not give an answer to another question."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeframe: Timeframe = Field(BASE, description="Candle length.")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v not in ("", None)} if isinstance(values, dict) else values


class CandleQuery(SeriesQuery):
    start: Moment | None = Field(
        None, description="First bucket: UNIX seconds or ISO 8601, aligned to the timeframe.", examples=[1738324800]
    )
    end: Moment | None = Field(
        None, description="Last bucket (inclusive), written like `start`; the exchange's now if absent."
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=MAX_CANDLES,
        description="With `start`: the first so many candles from there (all if absent). "
        "Without: the newest so many candles (500 if absent).",
    )


class IndicatorQuery(SeriesQuery):
    limit: int = Field(100, ge=1, le=WINDOW, description="The newest so many values.")
