"""Checks that servers which other machines can reach need a secret."""

from __future__ import annotations

import socket
from ipaddress import ip_address

from app.errors import InvalidInput
from app.settings import Settings
from app.util.quoting import quoted


def check_web(settings: Settings) -> None:
    """`InvalidInput` if the API would be open to other machines without a token."""
    _check(
        settings.web_host,
        bool(settings.web_token),
        "CANDLEWICK_WEB_HOST",
        "CANDLEWICK_WEB_TOKEN to a secret of at least 16 characters",
    )


def check_flower(settings: Settings) -> None:
    """`InvalidInput` if Flower, which can stop workers, would be open to other machines without a password."""
    _check(
        settings.flower_address,
        bool(settings.flower_basic_auth),
        "CANDLEWICK_FLOWER_ADDRESS",
        "CANDLEWICK_FLOWER_BASIC_AUTH to user:password",
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on `host`; False if uncertain."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return all(ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)


def _check(host: str, has_secret: bool, variable: str, remedy: str) -> None:
    if not has_secret and not is_loopback(host):
        raise InvalidInput(
            f"{variable} is {quoted(host)}, which other machines can reach, but no secret is set: set {remedy}, "
            f"or {variable}=127.0.0.1"
        )
