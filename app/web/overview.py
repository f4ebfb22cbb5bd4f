"""`/v1/overview` and `/v1/summary`: the data of a page, in one cheap answer each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from app.context import Context
from app.query.overview import read_overview
from app.query.status import Status
from app.query.status.model import Start
from app.util.caches import kept_for
from app.web.answers import json_answer
from app.web.schemas import ErrorAnswer
from app.wire.indicators import OverviewAnswer

OVERVIEW_FOR_S = 0.5
"""Concurrent requests share one answer."""


class Summary(BaseModel):
    """The state of the data in short."""

    summary: str = Field(description="One sentence.")
    ready: bool
    exchange_ms: int | None
    clock_age_real_seconds: float | None
    connected: bool = Field(description="Every connection to the exchange is open.")
    start: Start


def router(context: Context, status: Callable[[], Status]) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["data"])
    overview = kept_for(OVERVIEW_FOR_S, lambda: read_overview(context, context.settings))
    away: dict[int | str, dict[str, Any]] = {503: {"model": ErrorAnswer, "description": "Redis is unavailable."}}

    @routes.get("/overview", responses={200: {"model": OverviewAnswer}, **away})
    def every_product() -> Response:
        """Every product with price, 24 h change, and the newest MACD-V of each timeframe."""
        return json_answer(overview())

    @routes.get("/summary", responses={200: {"model": Summary}, **away})
    def in_short() -> Response:
        """The summary of `/v1/status`, the clock, and progress of the initial backfill. Always 200, ready or not."""
        return json_answer(_summary(status()).model_dump())

    return routes


def _summary(status: Status) -> Summary:
    clock = status.feed.clock
    return Summary(
        summary=status.summary,
        ready=status.ready,
        exchange_ms=clock.exchange_ms if clock else None,
        clock_age_real_seconds=clock.age_real_seconds if clock else None,
        connected=status.feed.connected,
        start=status.start,
    )
