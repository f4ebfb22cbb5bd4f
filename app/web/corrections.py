"""`/v1/corrections`: candles that were replaced, and the time of the last comparison with REST."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field
from typing_extensions import TypedDict

from app.context import Context
from app.storage import keys, mismatches
from app.web.answers import json_answer
from app.web.data import ERRORS
from app.wire.candles import Correction


class CorrectionsAnswer(TypedDict):
    scanned_ms: Annotated[
        int | None, Field(description="Slot of exchange time of the last scan; null before the first.")
    ]
    reconciled_ms: Annotated[int | None, Field(description="The same for the last comparison with REST.")]
    corrections: Annotated[list[Correction], Field(description="Newest first.")]


def router(context: Context) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["health"])

    @routes.get("/corrections", responses={200: {"model": CorrectionsAnswer}, 400: ERRORS[400], 503: ERRORS[503]})
    def corrections(limit: Annotated[int, Query(ge=1, le=1000, description="How many, at most.")] = 100) -> Response:
        """The newest replaced candles, with the values before and the cause."""
        settings = context.settings
        answer: CorrectionsAnswer = {
            "scanned_ms": _last_run_ms(context, "scan", settings.gap_scan_seconds),
            "reconciled_ms": _last_run_ms(context, "reconcile", settings.reconcile_seconds),
            "corrections": mismatches.latest(context.redis, limit),
        }
        return json_answer(answer)

    return routes


def _last_run_ms(context: Context, task: str, every_s: float) -> int | None:
    period: Any = context.redis.get(keys.last_run(task, context.exchange))
    return None if period is None else int(int(period) * every_s * 1000)
