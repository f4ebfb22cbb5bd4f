"""`/healthz`, `/readyz`, `/v1/status`: is the process alive, is the data ready, and how is everything?"""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.memo import Memo
from app.status import Status
from app.web.answers import json_answer
from app.web.schemas import Alive, ErrorAnswer, Readiness


def router(status: Memo[Status]) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", responses={200: {"model": Alive}})
    async def healthz() -> Response:
        """200 as long as this process serves, whatever the data is like."""
        return json_answer({"status": "alive"})

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz", responses={200: {"model": Readiness}, 503: {"model": Readiness}})
    def readyz() -> Response:
        """200 only while the data is complete and current; else 503 with the reasons."""
        now = status.get()
        answer = {"ready": now.ready, "summary": now.summary, "reasons": now.reasons}
        return json_answer(answer) if now.ready else json_answer(answer, 503, {"Retry-After": "1"})

    @routes.get("/v1/status", responses={200: {"model": Status}, 503: {"model": ErrorAnswer}})
    def state() -> Response:
        """Everything that is known of this installation's state."""
        return json_answer(status.get().model_dump(mode="json"))

    return routes
