"""Limits the requests per second of each client, and refuses request bodies: the API is read-only.

Clients on this machine are not counted. A proxy on this machine that sends `X-Forwarded-For` is trusted, so that its
clients are counted one by one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from app.util.rate import KeyedRateLimit
from app.web.errors import error_answer

BURST_S = 2.0
"""Seconds' worth of requests that an idle client may send at once: a page sends a dozen."""

MAX_CLIENTS = 10_000
"""Remembered clients; the one idle for longest is forgotten first."""

HANG_UP = {"Connection": "close"}

NOBODY = "unknown"
"""All clients whose proxy does not send an address, together."""

_MAX_ADDRESS = 45


class RateLimitMiddleware:
    """Middleware that refuses requests with a body, and requests of a client above `per_second`."""

    def __init__(self, app: ASGIApp, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._limit = KeyedRateLimit(per_second, burst_s=BURST_S, max_keys=MAX_CLIENTS, clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if _has_body(scope):
                refusal = error_answer(413, "no_body_wanted", "this API is read-only: send no body", headers=HANG_UP)
                await refusal(scope, receive, send)
                return
            if (wait_s := self._wait_s(scope)) > 0:
                refusal = error_answer(429, "too_many_requests", "too many requests", retry_after_s=math.ceil(wait_s))
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _wait_s(self, scope: Scope) -> float:
        """How long this client has to wait; 0 if it may send a request now, which is counted."""
        client = counted_as(scope["client"][0]) if scope.get("client") else None
        if client is None and not _is_forwarded(scope):
            return 0
        return self._limit.wait_s(client or NOBODY)  # through a proxy nobody is this machine


def counted_as(host: str) -> str | None:
    """The key of a client: its address, for IPv6 its network (/64, one household); None for this machine.

    `NOBODY` if `host` is not an address: a proxy forwards its client's text, of any length.
    """
    return _counted_as(host) if len(host) <= _MAX_ADDRESS else NOBODY


@lru_cache(MAX_CLIENTS)
def _counted_as(host: str) -> str | None:
    try:
        ip = ip_address(host)
    except ValueError:
        return NOBODY
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return None
    return str(ip) if ip.version == 4 else str(ip_network((int(ip), 64), strict=False))


def _is_forwarded(scope: Scope) -> bool:
    return any(name == b"x-forwarded-for" for name, _ in scope["headers"])


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )
