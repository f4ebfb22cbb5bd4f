"""Keeps secrets out of reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import unquote, urlsplit

T = TypeVar("T")

HIDDEN = "***"
_MIN_CHARACTERS = 3
"""A shorter one would be replaced in the middle of words, and protects nothing."""


def origin(url: str) -> str:
    """Scheme, host and port of `url`: credentials, path and query may hold secrets."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(not a URL)"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return f"{parts.scheme}://{HIDDEN + '@' if '@' in parts.netloc else ''}{host}{port}"


class Scrubber:
    """Replaces known secrets in texts."""

    def __init__(self, urls: Iterable[str], secrets: Iterable[str] = ()) -> None:
        """`urls`: their credentials, paths and queries are secrets."""
        found = {part for secret in secrets for part in (secret, *secret.split(":"))}
        for url in urls:
            found |= _secrets_of(url)
        self._secrets = sorted((s for s in found if len(s) >= _MIN_CHARACTERS), key=len, reverse=True)

    def text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _secrets_of(url: str) -> set[str]:
    login, at, _ = url.partition("://")[2].rpartition("@")
    raw = set(login.split(":", 1)) | {login} if at else set()
    try:
        parts = urlsplit(url)
    except ValueError:
        return raw
    raw |= {parts.query, *(value.partition("=")[2] for value in parts.query.split("&"))}
    if parts.scheme in ("ws", "wss", "http", "https") and len(parts.path) > 1:
        raw.add(parts.path)
    return raw | {unquote(secret) for secret in raw}
