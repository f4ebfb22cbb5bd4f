"""Connections to hosts with one silent address, and to proxies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from app.exchange.coinbase.rest import CoinbaseRest
from app.exchange.pacing import Limiter
from app.exchange.stream_socket import ConnectionEnded, Dialler, proxy_options
from app.util.network import connect_any
from tests.integration.test_coinbase_rest import Venue, body
from tests.servers import serving
from tests.support import silent

pytestmark = pytest.mark.integration


@pytest.fixture(name="silent")
def silent_port() -> Iterator[int]:
    with silent() as port:
        yield port


@pytest.fixture
def venue() -> Iterator[Venue]:
    made = Venue()
    made.answer = body({"epochMillis": "1614816000000"})
    with serving(made.server):
        yield made


def with_addresses(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    """Give the host `two.test` these addresses, in this order."""
    known = socket.getaddrinfo

    def found(host: str, port: int, *arguments: Any, **options: Any) -> list[Any]:
        if host != "two.test":
            return known(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in ports]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_an_address_that_is_silent_does_not_hide_the_next(
    silent: int, venue: Venue, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(venue.url.rpartition(":")[2])
    with_addresses(monkeypatch, silent, port)
    rest = CoinbaseRest("http://two.test", timeout_s=4)
    assert rest.time_ms() == 1_614_816_000_000
    rest.close()
    dialler = Dialler("ws://two.test/", 4.0, Limiter(100), Limiter(100))
    with dialler._connected() as made:
        assert made.getpeername()[1] == port


def test_if_all_are_silent_or_refuse_the_last_error_is_raised(silent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with_addresses(monkeypatch, port, silent)
    with pytest.raises(TimeoutError):
        connect_any("two.test", 1, 0.3)
    with_addresses(monkeypatch, silent, port)
    with pytest.raises(ConnectionRefusedError):
        connect_any("two.test", 1, 0.3)
    with_addresses(monkeypatch)
    with pytest.raises(OSError, match="no address"):
        connect_any("two.test", 1, 0.3)


def proxy_of(monkeypatch: pytest.MonkeyPatch, url: str, **environ: str) -> dict[str, object]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return proxy_options(url)


def test_the_stream_uses_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = "wss://stream.test/"
    assert proxy_of(monkeypatch, stream) == {}
    through = proxy_of(monkeypatch, stream, HTTPS_PROXY="http://me:p%40ss@proxy.test:3128")
    assert (through["http_proxy_host"], through["http_proxy_port"]) == ("proxy.test", 3128)
    assert through["http_proxy_auth"] == ("me", "p@ss")
    assert proxy_of(monkeypatch, stream, ALL_PROXY="http://proxy.test:3128")["http_proxy_host"] == "proxy.test"
    assert proxy_of(monkeypatch, stream, ALL_PROXY="http://proxy.test", NO_PROXY="stream.test") == {}
    assert proxy_of(monkeypatch, "ws://stream.test/", HTTPS_PROXY="http://proxy.test") == {}
    with pytest.raises(ConnectionEnded, match=r"must be http://…, but the environment names one of socks5://"):
        proxy_of(monkeypatch, stream, ALL_PROXY="socks5://proxy.test:1080")
