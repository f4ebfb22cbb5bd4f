"""Host names that a server without a token answers: the names of this machine, and names that a setting adds.

The owner of a domain can point it to 127.0.0.1 (DNS rebinding), so that a page in a browser on this machine can read
from this server. Such a request names the foreign host. A server with a token needs no such check.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from app.web.errors import error_answer


class HostCheckMiddleware:
    """Middleware that refuses requests to names other than this machine's and `names`."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not all(self._is_ours(host) for host in _hosts(scope)):
            why = "this host name is not allowed: add it to CANDLEWICK_WEB_HOSTS, or set CANDLEWICK_WEB_TOKEN"
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
    """The Host headers. Without one (programs with HTTP/1.0), the request is not from a page."""
    return [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
