"""How much is taken on at once: beyond that a client is told at once, instead of waiting for ever."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from app.web.errors import RETRY_AFTER_S, error_answer

AT_ONCE = 80
"""Requests in work or waiting: twice as many as there are threads, so nobody waits for more than one other."""

ALWAYS = ("/healthz",)
"""What is answered without Redis, and however busy the process is."""

ENDLESS = ("/v1/stream",)
"""What takes no thread while it lasts, and has a bound of its own."""


class ConcurrencyLimitMiddleware:
    """Middleware that refuses what comes on top of `at_once` unfinished requests."""

    def __init__(self, app: ASGIApp, at_once: int = AT_ONCE) -> None:
        self._app = app
        self._at_once = at_once
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS + ENDLESS:
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
