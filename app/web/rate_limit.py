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
        self._interval_s = 1 / per_second
        self._clock = clock
        self._paid_until_s: dict[str, float] = {}
        """By client, the one idle for longest first: the time until which its requests use up its rate."""

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
        """Seconds that this client must wait; 0 if its request is allowed (and counted)."""
        client = counted_as(scope["client"][0]) if scope.get("client") else None
        if client is None and not _is_forwarded(scope):
            return 0
        client = client or NOBODY  # a proxy reports this machine as its client
        now_s = self._clock()
        paid_s = max(self._paid_until_s.get(client, 0), now_s) + self._interval_s
        if paid_s > now_s + BURST_S:
            return paid_s - now_s - BURST_S
        self._paid_until_s.pop(client, None)
        self._paid_until_s[client] = paid_s
        if len(self._paid_until_s) > MAX_CLIENTS:
            del self._paid_until_s[next(iter(self._paid_until_s))]
        return 0


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
