"""HTTP requests to external services: bounded, without redirects, and never to a private address.

Uses urllib3 without requests: the environment's proxy, redirects and cookies must not apply, and the address must be
checked when it is connected to, not when it is resolved.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

import orjson
import urllib3
from urllib3 import encode_multipart_formdata
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import make_headers

from app.delivery.channels.addresses import PUBLIC_POOLS, PrivateAddress, is_private_literal
from app.delivery.channels.channel import ChannelBroken, DeliveryError, MessageRefused, TooMany
from app.errors import InvalidInput
from app.util.network import POOLS, trusted

MAX_BYTES = 64 * 1024
"""Of a response; the rest is not read."""

MAX_PAUSE_S = 3600.0
DEFAULT_PAUSE_S = 5.0
PERMANENT = (401, 403, 404, 410)
PROXY = "the proxy (proxy_env in candlewick.toml)"

_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (NameResolutionError, "its host name cannot be resolved"),
    (NewConnectionError, "no connection"),
    (ConnectTimeoutError, "no connection in time"),
    (ReadTimeoutError, "no answer in time"),
    (SSLError, "TLS failed"),
)
"""The narrower ones first: some are subclasses of others."""


class HttpReply(NamedTuple):
    """A response. `said`: the service's reason for a refusal, without any part of the URL, which is a secret.
    `is_relayed`: it came through a proxy without TLS, and may be the proxy's own.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    said: str = ""
    is_relayed: bool = False

    def json(self) -> dict[str, Any]:
        """The body as an object; empty if it is not one."""
        try:
            value = orjson.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Http:
    """POSTs to one URL, which is a secret: no error of this class shows it."""

    def __init__(
        self, url: str, *, timeout_s: float, allow_private: bool, at_once: int = 1, proxy: str | None = None
    ) -> None:
        """`proxy`: the URL of an HTTP proxy that connects to the host, and resolves its name.

        Raises `InvalidInput` if requests to `url` are not allowed; the text does not show it.
        """
        check_url(url, allow_private=allow_private)
        self._url = url
        self._timeout_s = timeout_s
        options: dict[str, Any] = {
            "num_pools": 2,
            "maxsize": at_once,
            "timeout": urllib3.Timeout(total=timeout_s),
            "retries": False,
            "ca_certs": trusted(),
        }
        self._manager = _through(proxy, options) if proxy else urllib3.PoolManager(**options)
        is_any = allow_private or proxy  # the address of a proxy is the operator's, and may be private
        self._manager.pool_classes_by_scheme = POOLS if is_any else PUBLIC_POOLS
        self._is_relayed = bool(proxy) and urlsplit(url).scheme == "http"
        self.target = hashlib.sha256(url.encode()).hexdigest()[:12]

    def post(self, body: bytes, headers: Mapping[str, str], path: str = "") -> HttpReply:
        """The service's response, with any status, within the time-out. Raises `DeliveryError`, `ChannelBroken`."""
        deadline = time.monotonic() + self._timeout_s
        try:
            response = self._manager.request(
                "POST", self._url + path, body=body, headers=headers, redirect=False, preload_content=False
            )
            try:
                reply = HttpReply(
                    response.status, response.headers, _body(response, deadline), is_relayed=self._is_relayed
                )
                return reply._replace(said=self._without_secrets(_said(reply))[:MAX_SAID])
            finally:
                response.close()  # and its connection unless read to its end: the next response would begin there
        except PrivateAddress as error:
            raise ChannelBroken(str(error)) from None
        except (UnicodeError, LocationParseError):
            raise ChannelBroken("its URL or the headers hold characters that HTTP cannot send") from None
        except ProxyError as error:
            code = re.search(r"failed: (\d{3})", str(error.original_error))
            raise DeliveryError(_of_proxy(int(code[1])) if code else f"no connection through {PROXY}") from None
        except (HTTPError, OSError) as error:
            cause = getattr(error, "reason", error)
            if isinstance(getattr(cause, "__cause__", None), PrivateAddress):
                raise ChannelBroken("its host has a private address; allow_private = true allows that") from None
            reason = next((text for kind, text in _REASONS if isinstance(cause, kind)), "the connection broke")
            raise DeliveryError(reason) from None

    def post_form(self, fields: Mapping[str, str | bytes | tuple[str, bytes, str]], path: str = "") -> HttpReply:
        """As `post`, with a form; a field with a file has its name, content and type."""
        body, content_type = encode_multipart_formdata(fields)
        return self.post(body, {"Content-Type": content_type, "User-Agent": "candlewick"}, path)

    def _without_secrets(self, text: str) -> str:
        """`text` without any part of the URL, in any case and quoting, that is neither short nor a usual word."""
        parts = [part for part in re.split(r"[/?&=:#]+", self._url) if part.lower() not in USUAL_WORDS]
        secrets = {_lower(spelled) for part in parts for spelled in (part, unquote(part))}
        pieces = {part[i : i + MIN_SECRET] for part in secrets for i in range(len(part) - MIN_SECRET + 1)}
        hidden = [_lower(text[i : i + MIN_SECRET]) in pieces for i in range(len(text))]
        shown = [not any(hidden[max(0, i - MIN_SECRET + 1) : i + 1]) for i in range(len(text))]
        return "".join(c if shown[i] else "***" * (i == 0 or shown[i - 1]) for i, c in enumerate(text))


def check_proxy(url: str) -> None:
    """Raise `InvalidInput`, without showing `url`, if it is not an HTTP proxy's."""
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
        make_headers(proxy_basic_auth=_login(url))
    except (ValueError, UnicodeError):
        is_right = False
    if not is_right:
        raise InvalidInput("a proxy must be a URL such as http://user:password@host:3128; SOCKS is not supported")


def _through(proxy: str, options: dict[str, Any]) -> urllib3.ProxyManager:
    check_proxy(proxy)
    login = _login(proxy)
    parts = urlsplit(proxy)
    where = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    return urllib3.ProxyManager(where, proxy_headers=make_headers(proxy_basic_auth=login) if login else None, **options)


def _login(proxy: str) -> str | None:
    """`user:password` of a proxy's URL."""
    parts = urlsplit(proxy)
    return f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None


def _of_proxy(status: int) -> str:
    return f"{PROXY} answered {status}" + (": it needs a login, or another one" if status == 407 else "")


MIN_SECRET = 6
"""Consecutive characters of a URL that are removed from a service's text."""

USUAL_WORDS = frozenset(("message", "messages", "services", "webhook", "webhooks"))
"""Common in URLs and services' texts: not secrets."""

MAX_SAID = 200


def _lower(text: str) -> str:
    """`text` in lower case, each character at the same position."""
    return "".join(c.lower()[0] for c in text)


def _said(reply: HttpReply) -> str:
    """The service's own reason for a refusal, on one line."""
    said = reply.json()
    words = next((said[name] for name in ("description", "message", "error") if isinstance(said.get(name), str)), "")
    return "".join(c if c.isprintable() else " " for c in words[: 2 * MAX_SAID])


def _body(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """The beginning of the body, as far as it can be read by `deadline` (monotonic).

    The status alone decides the outcome: no problem with the body causes the message to be sent again.
    """
    body = bytearray()
    with suppress(HTTPError, OSError):
        while len(body) < MAX_BYTES and (piece := response.read1(MAX_BYTES - len(body), decode_content=True)):
            body += piece
            if time.monotonic() > deadline:
                break
    return bytes(body)


def check(reply: HttpReply) -> None:
    """Raise the error for a response that is not a success."""
    status = reply.status
    if status == 407:
        raise DeliveryError(_of_proxy(status))
    said = f"the service answered {status}" + (f": {reply.said}" if reply.said else "")
    if 200 <= status < 300:
        return
    if status == 429:
        raise TooMany("429: too many requests", pause_of(reply))
    if status in PERMANENT and reply.is_relayed:
        raise DeliveryError(f"{PROXY}, or the service behind it, answered {status}")
    if status in PERMANENT:
        raise ChannelBroken(said)
    if 400 <= status < 500 and status not in (408, 425):
        raise MessageRefused(said)
    raise DeliveryError(said)


def pause_of(reply: HttpReply) -> float:
    """Seconds of pause that the service requires: in a header, or in the body (Discord, Telegram)."""
    said = reply.json()
    parameters = said.get("parameters")
    inside = parameters.get("retry_after") if isinstance(parameters, dict) else None
    for value in (said.get("retry_after"), inside, reply.headers.get("Retry-After")):
        if (seconds := seconds_of(value)) is not None:
            return seconds
    return DEFAULT_PAUSE_S


def seconds_of(value: object) -> float | None:
    """The pause in `value`, at most `MAX_PAUSE_S`; None if it is not one.

    More than that counts as milliseconds, which some services send.
    """
    try:
        seconds = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if not (math.isfinite(seconds) and seconds >= 0):
        return None
    return seconds if seconds <= MAX_PAUSE_S else min(seconds / 1000, MAX_PAUSE_S)


def check_url(url: str, *, allow_private: bool) -> None:
    """Raise `InvalidInput`, without showing `url`, if requests to it are not allowed."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise InvalidInput("it is not a URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidInput("it must be a URL that starts with https:// (or http://)")
    if parts.username or parts.password:
        raise InvalidInput("the URL must not hold a user or a password")
    if not allow_private and (host == "localhost" or host.endswith(".localhost") or is_private_literal(host)):
        raise InvalidInput("its host is a private address; allow_private = true allows that")
