"""Under which names a server without a token answers: those of this machine, and those that a setting adds.

Whoever owns a name can have it mean 127.0.0.1 (DNS rebinding), and so have a page in a browser of this machine read
what this server says. Such a request names the foreign host. With a token there is nothing to read without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from app.web.errors import error_answer


class HostCheckMiddleware:
    """Middleware that refuses requests to any other name than this machine's, and `names`."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not all(self._is_ours(host) for host in _hosts(scope)):
            why = "this server does not answer under that name: add it to WEB_HOSTS, or set a WEB_TOKEN"
            await error_answer(421, "unknown_host", why)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._names or name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def _hosts(scope: Scope) -> list[str]:
    """What the request says it is for; nothing, as from programs that speak HTTP/1.0, is nobody's page."""
    return [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
