"""Authentication of requests by a shared token."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web.errors import error_answer
from app.web.root_path import route_path

OPEN = ("/healthz",)
"""Paths without a token: they only show that the process runs."""

BARE = ("/readyz",)
"""Paths that return only a status without a token: load balancers cannot send one."""

IN_QUERY = ("/v1/stream",)
"""Paths that accept the token as a query parameter, if a client cannot send headers."""

CHALLENGE = {"WWW-Authenticate": 'Basic realm="Candlewick", charset="UTF-8"'}
"""Makes a browser prompt for the token (as a password, with any name) and send it with every request."""


class TokenAuthMiddleware:
    """Middleware that requires `token`: as a bearer token, or as the password of Basic authentication.

    A token in the query is removed, so that nothing behind this can show or log it.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told, path = list(_in_headers(scope["headers"])), route_path(scope)
        if path in IN_QUERY:
            query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            told += [value.encode() for name, value in query if name == "token"]
            rest = [(name, value) for name, value in query if name != "token"]
            scope = {**scope, "query_string": urlencode(rest).encode()}
        if path in OPEN or any(hmac.compare_digest(self._token, one) for one in told):
            await self._app(scope, receive, send)
        elif path in BARE and not told:
            await self._app(scope, receive, _without_body(send))
        else:
            why = "wrong token" if told else "token required: send the header `Authorization: Bearer TOKEN`"
            await error_answer(401, "unauthorized", why, headers=CHALLENGE)(scope, receive, send)


def _without_body(send: Send) -> Send:
    """Sends the status of an answer without its body."""

    async def bare(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (name, value) for name, value in message["headers"] if name not in (b"content-length", b"content-type")
            ]
            message = {**message, "headers": [*kept, (b"content-length", b"0")]}
        elif message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return bare


def _in_headers(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for name, value in headers:
        scheme, _, told = value.partition(b" ")
        if name != b"authorization":
            continue
        if scheme.lower() == b"bearer":
            yield told.strip()
        elif scheme.lower() == b"basic":
            try:
                yield base64.b64decode(told, validate=True).partition(b":")[2]
            except binascii.Error:
                yield b""
