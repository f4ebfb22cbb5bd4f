"""Connections to the public internet only: the address checked is the one connected to."""

from __future__ import annotations

import ipaddress

from app.util.network import InTime, pools

_HIDING = [ipaddress.ip_network(text) for text in ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")]
"""IPv6 networks whose last 32 bits are an IPv4 address."""

_ISATAP = (0x0000_5EFE, 0x0200_5EFE)

_SPECIAL = [
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b:1::/48",
        "2620:4f:8000::/48",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
]
"""Special-purpose networks (IANA's registries) that not every version of Python knows."""


def is_public(address: str) -> bool:
    """Whether an IP address, or the address embedded in it, is on the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if any(ip in network for network in _HIDING) or int(ip) >> 32 & 0xFFFF_FFFF in _ISATAP:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SPECIAL)


def is_private_literal(host: str) -> bool:
    """Whether `host` is an IP address that is not public."""
    try:
        return not is_public(host)
    except ValueError:
        return False


class PrivateAddress(OSError):
    """An address that is skipped: another one of the host may be public."""


class _Public(InTime):
    def check(self, address: str) -> None:
        if not is_public(address):
            raise PrivateAddress


PUBLIC_POOLS = pools(_Public)
