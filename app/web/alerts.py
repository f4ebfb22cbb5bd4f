"""`/v1/alerts`: alerts, newest first; `/v1/alert-channels`: the channels that deliver them, and their state."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.context import Context
from app.delivery.listing import MAX_ALERTS, channel_rows, page_of_alerts
from app.indicators.stages import Stage
from app.market.timeframes import Timeframe
from app.web.answers import json_answer
from app.web.data import ERRORS
from app.web.queries import Moment


class AlertQuery(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    product: str | None = Field(None, max_length=40, description="Only this product; case does not matter.")
    timeframe: Timeframe | None = Field(None, description="Only this timeframe.")
    rule: str | None = Field(None, max_length=40, description="Only alerts of this rule.")
    since: Moment | None = Field(None, description="Only bars that ended then or later: UNIX seconds or ISO 8601.")
    limit: int = Field(100, ge=1, le=MAX_ALERTS, description="Alerts on a page.")
    cursor: str | None = Field(None, max_length=300, description="`next` of the previous page.")

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, values: Any) -> Any:
        return {k: v for k, v in values.items() if v not in ("", None)} if isinstance(values, dict) else values


class AlertRow(BaseModel):
    id: str = Field(description="Permanent: rule, product, timeframe, start.")
    title: str
    rule: str
    kind: Literal["level", "reversal", "stage", "price"]
    exchange: str
    product: str
    timeframe: Timeframe
    start: int = Field(description="Start of the bar, UNIX seconds.")
    end: int = Field(description="End of the bar, UNIX seconds.")
    event: dict[str, Any] = Field(description="The event: level, zone, stages or price, and the direction.")
    price: float = Field(description="Close of the bar, in quote currency.")
    macdv: float | None
    signal: float | None
    histogram: float | None
    stage: Stage | None
    timeframes: dict[str, dict[str, Any] | None] = Field(description="MACD-V and stage of each, at the bar's end.")
    bias: str = Field(description="Bullish, Bearish or Neutral: the direction of all timeframes together.")
    confirmed: bool = Field(description="Whether REST had confirmed the bar when the alert was raised.")
    candles: int = Field(description="Candles behind the values.")
    definition: str = Field(description="Changes with the settings of the rule.")
    state: Literal["stands", "withdrawn"] = Field(description="Withdrawn: a corrected candle has made it wrong.")
    withdrawn_at: int | None = Field(description="Exchange time, UNIX seconds.")
    deliveries: dict[str, dict[str, Any]] = Field(description="By channel and kind of message: its delivery.")


class AlertsAnswer(BaseModel):
    alerts: list[AlertRow] = Field(description="Newest first.")
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


class ChannelRow(BaseModel):
    channel: str
    kind: str
    state: Literal["working", "paused", "disabled"]
    reason: str | None = Field(description="The last error.")
    waiting: int = Field(description="Messages that have not been sent yet.")
    done: int
    dropped: int = Field(description="Messages that were not sent, such as withdrawn alerts.")
    paused_real_seconds: float


class ChannelsAnswer(BaseModel):
    channels: list[ChannelRow]


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["alerts"])

    @routes.get("/alerts", responses={200: {"model": AlertsAnswer}, 400: ERRORS[400], 503: ERRORS[503]})
    def alerts(query: Annotated[AlertQuery, Query()]) -> Response:
        """Alerts, newest first, a page at a time."""
        page = page_of_alerts(
            context.alerts,
            product=query.product,
            timeframe=query.timeframe,
            rule=query.rule,
            since_s=query.since,
            limit=query.limit,
            cursor=query.cursor,
        )
        return json_answer(page)

    @routes.get("/alert-channels", responses={200: {"model": ChannelsAnswer}, 503: ERRORS[503]})
    def channels() -> Response:
        """The channels that deliver alerts, and their state."""
        return json_answer({"channels": channel_rows(context.deliveries, context.alert_settings)})

    return routes
