"""`/healthz`, `/readyz`, `/v1/status`: liveness of the process, readiness of the data, complete status."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from fastapi import APIRouter, Response

from app.query.status import Status
from app.web.answers import json_answer
from app.web.schemas import Alive, ErrorAnswer, ReadinessAnswer

log = logging.getLogger(__name__)


def router(status: Callable[[], Status]) -> APIRouter:
    routes = APIRouter(tags=["health"])
    was_ready: bool | None = None
    lock = threading.Lock()

    def note(now: Status) -> None:
        """Log each change between ready and not ready that a request observes."""
        nonlocal was_ready
        with lock:
            before, was_ready = was_ready, now.ready
        if now.ready and before is not True:
            log.info("ready: %s", now.summary)
        elif not now.ready and before:
            log.warning("%s", now.summary)

    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", responses={200: {"model": Alive}})
    async def healthz() -> Response:
        """200 as long as this process serves, regardless of the data."""
        answer: Alive = {"status": "alive"}
        return json_answer(answer)

    @routes.head("/readyz", include_in_schema=False)
    @routes.get("/readyz", responses={200: {"model": ReadinessAnswer}, 503: {"model": ReadinessAnswer}})
    def readyz() -> Response:
        """200 only while the data is complete and current; else 503 with the reasons."""
        now = status()
        note(now)
        answer: ReadinessAnswer = {"ready": now.ready, "summary": now.summary, "reasons": now.reasons}
        return json_answer(answer) if now.ready else json_answer(answer, 503, {"Retry-After": "1"})

    @routes.get("/v1/status", responses={200: {"model": Status}, 503: {"model": ErrorAnswer}})
    def state() -> Response:
        """The complete state of this installation."""
        return json_answer(status().model_dump(mode="json"))

    return routes
