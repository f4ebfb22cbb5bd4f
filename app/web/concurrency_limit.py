"""Limits concurrent requests: above the limit, a client gets an error at once and does not wait."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from app.web.errors import RETRY_AFTER_S, error_answer
from app.web.root_path import route_path

AT_ONCE = 80
"""Running and waiting requests: twice the number of threads, so that each waits for at most one other."""

ALWAYS = ("/healthz",)
"""Paths served without Redis, however busy the process is."""

ENDLESS = ("/v1/stream",)
"""Paths that hold no thread and have a separate limit."""


class ConcurrencyLimitMiddleware:
    """Middleware that refuses requests above `at_once` unfinished ones."""

    def __init__(self, app: ASGIApp, at_once: int = AT_ONCE) -> None:
        self._app = app
        self._at_once = at_once
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or route_path(scope) in ALWAYS + ENDLESS:
            await self._app(scope, receive, send)
        elif self._running >= self._at_once:
            busy = error_answer(503, "busy", "too many requests at once", retry_after_s=RETRY_AFTER_S)
            await busy(scope, receive, send)
        else:
            self._running += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._running -= 1
