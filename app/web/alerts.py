"""`/v1/alerts`: alerts, newest first; `/v1/alert-channels`: the channels that deliver them, and their state."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from typing_extensions import TypedDict

from app.context import Context
from app.delivery.listing import MAX_ALERTS, channel_rows, page_of_alerts
from app.market.timeframes import Timeframe
from app.web.answers import json_answer
from app.web.data import ERRORS
from app.web.queries import Moment, Parameters
from app.wire.alerts import AlertsAnswer, ChannelRow


class AlertQuery(Parameters):
    product: str | None = Field(None, max_length=40, description="Only this product; case does not matter.")
    timeframe: Timeframe | None = Field(None, description="Only this timeframe.")
    rule: str | None = Field(None, max_length=40, description="Only alerts of this rule.")
    since: Moment | None = Field(None, description="Only bars that ended then or later: UNIX seconds or ISO 8601.")
    limit: int = Field(100, ge=1, le=MAX_ALERTS, description="Alerts on a page.")
    cursor: str | None = Field(None, max_length=300, description="`next` of the previous page.")


class ChannelsAnswer(TypedDict):
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
        answer: ChannelsAnswer = {"channels": channel_rows(context.deliveries, context.rules.read().settings)}
        return json_answer(answer)

    return routes
