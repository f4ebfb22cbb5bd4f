"""HTTP GET requests to an exchange: bounded in time and size, one call, one request, no retry.

The caller respects the request budget and interprets the replies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import orjson
import requests
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from app.errors import Refused, Throttled, Unavailable
from app.exchange.frames import why
from app.util import network

_MAX_BODY_BYTES = 32 * 2**20
_CHUNK_BYTES = 64 * 1024
_MAX_PAUSE_S = 7 * 86_400.0
"""A longer Retry-After is reduced to this; the longest ban that an exchange documents is three days."""

T = TypeVar("T")


class Reply(NamedTuple):
    """`headers`: case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """Seconds to wait; None without them, or for an HTTP date, which would need both clocks to agree."""
        value = self.headers.get("Retry-After")
        if value is None or not (value.isascii() and value.isdigit()):
            return None
        return min(float(value[:9]), _MAX_PAUSE_S)

    def message(self) -> str:
        """The message in an error body of JSON; empty for any other body, such as HTML."""
        try:
            reply = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return ""
        return _message(reply) if isinstance(reply, dict) else ""


def _message(reply: dict[str, Any]) -> str:
    errors = reply.get("errors") or reply.get("error")
    first = errors[0] if isinstance(errors, list) and errors else None
    found = [reply.get(key) for key in ("error_details", "message", "msg", "error")]
    found += [first.get("message") if isinstance(first, dict) else first]
    return next((text[:200] for text in found if isinstance(text, str) and text), "")


class Http:
    """One HTTP session to one origin; make one per thread."""

    def __init__(
        self,
        base_url: str,
        timeout_s: float,
        throttled: Callable[[Reply], bool],
        session: requests.Session | None = None,
    ) -> None:
        """`base_url`: origin without a path. `timeout_s`: for a whole request, connecting and reading.

        `throttled`: whether a reply with another status than 200 means that the limit was exceeded.
        """
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._throttled = throttled
        self._session = session or network.session()

    def close(self) -> None:
        self._session.close()

    def get(self, path: str, params: Mapping[str, str], read: Callable[[Any], T]) -> T:
        """`read` of the reply's JSON.

        Raises `Throttled` for a reply that is `throttled`; `Refused` for other client errors; `Unavailable` for a
        time-out, a broken connection, 5xx, a redirect, or an invalid body.
        """
        reply = self.fetch(path, params)
        self.raise_for(path, reply)
        try:
            return read(orjson.loads(reply.body))
        except orjson.JSONDecodeError as error:
            raise Unavailable(f"{path}: the reply is not JSON: {error}") from None
        except ValidationError as error:
            raise Unavailable(f"{path}: the reply is invalid: {why(error)}") from None

    def fetch(self, path: str, params: Mapping[str, str]) -> Reply:
        """The reply, whatever its status. Raises `Unavailable` without one."""
        deadline = time.monotonic() + self._timeout_s
        try:
            with self._session.get(
                self._base_url + path,
                params=dict(params),
                headers={"Accept": "application/json", "Cache-Control": "no-cache"},
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                return Reply(response.status_code, response.headers, _body(path, response, deadline))
        except requests.exceptions.InvalidSchema:
            raise Unavailable(f"{path}: {network.SOCKS}") from None
        except (requests.RequestException, HTTPError, OSError) as error:
            # Of requests' nested texts only the last one has the cause.
            cause = str(error).rsplit("Caused by ", 1)[-1]
            raise Unavailable(f"{path}: {type(error).__name__}: {cause[:200]}") from None

    def raise_for(self, path: str, reply: Reply) -> None:
        """Raise the error that `reply` is; nothing for 200."""
        status = reply.status
        if status == 200:
            return
        what = f"{path}: {status} {reply.message()}".rstrip()
        if status in (401, 403, 451):
            what += ": if this persists, the exchange blocks this address (a country, a data centre, a proxy)"
        if self._throttled(reply):
            raise Throttled(what, reply.retry_after_s)
        if 400 <= status < 500 and status not in (408, 425):
            raise Refused(what)
        raise Unavailable(what)


def _body(path: str, response: requests.Response, deadline: float) -> bytes:
    """The whole body, within bounds of size and time: requests' own time-out restarts with every byte."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise Unavailable(f"{path}: the reply is larger than {_MAX_BODY_BYTES} bytes")
        if time.monotonic() > deadline:
            raise Unavailable(f"{path}: the reply takes too long")
    return bytes(body)
