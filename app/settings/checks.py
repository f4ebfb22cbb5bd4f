"""Checks of values that several settings share. Pure."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from pydantic import AfterValidator

_LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_NAME_LENGTH = 253
_ZONE = re.compile(r"[A-Za-z0-9._-]{0,15}")


class Secret:
    """Marks a setting that is a secret, or may contain one: it is never shown, and may come from a file of its own."""


SECRET = Secret()


def split(value: object) -> object:
    """The parts of a comma separated text; anything else unchanged."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def names_host(text: str) -> bool:
    """Whether `text` is an IP address, or a DNS name, which never ends in a number."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.split(".")
        return len(text) <= _NAME_LENGTH and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
    return _ZONE.fullmatch(text.partition("%")[2]) is not None


def matching(pattern: str, otherwise: str) -> AfterValidator:
    """A validator: the whole value must match `pattern`; `otherwise` is the error."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


def url_of(*schemes: str) -> AfterValidator:
    """A validator: the value must be a URL with one of `schemes`."""

    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            scheme, host, _ = parts.scheme, parts.hostname, parts.port
        except ValueError:
            scheme, host = "", None
        if scheme not in schemes or not host:
            raise ValueError(f"must be a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return value.rstrip("/")

    return AfterValidator(check)
