"""Alerts go to the public internet, or to other addresses if a setting allows it; embedded addresses count too."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from app.delivery.channels.addresses import is_public

PRIVATE, PUBLIC = IPv4Address("10.1.2.3"), IPv4Address("93.184.216.34")


def teredo(client: IPv4Address) -> str:
    """The address of a Teredo client (RFC 4380): server, flags, port, and the client's with each bit flipped."""
    server = int(PUBLIC)
    return str(IPv6Address(0x20010000 << 96 | server << 64 | (int(client) ^ 0xFFFFFFFF)))


HIDING = {
    "mapped": lambda inner: f"::ffff:{inner}",
    "6to4": lambda inner: str(IPv6Address(0x2002 << 112 | int(inner) << 80)),
    "Teredo": teredo,
    "compatible": lambda inner: f"::{inner}",
    "translated": lambda inner: f"::ffff:0:{inner}",
    "ISATAP": lambda inner: f"2001:4860::200:5efe:{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}",
    "NAT64": lambda inner: str(IPv6Address(int(IPv6Address("64:ff9b::")) | int(inner))),
}


@pytest.mark.parametrize("how", HIDING)
def test_an_address_is_as_public_as_the_one_that_it_hides(how: str) -> None:
    assert is_public(HIDING[how](PUBLIC))
    assert not is_public(HIDING[how](PRIVATE))


@pytest.mark.parametrize("address", ["224.0.0.1", "239.255.255.250", "ff0e::1", "ff02::1"])
def test_a_group_of_receivers_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.0.1", "127.0.0.1", "169.254.1.1", "::1", "fe80::1%eth0"])
def test_networks_of_ones_own_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["192.0.0.9", "192.88.99.1", "64:ff9b:1::1", "2620:4f:8000::1", "3fff::1", "5f00::1", "fec0::1", "::1"]
)
def test_networks_for_special_purposes_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "2606:2800:220:1::1%eth0"])
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)
