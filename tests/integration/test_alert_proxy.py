"""Alerts through an HTTP proxy: only the one in the file, to any public name, in time, without showing its login."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.delivery.channels.build import MisconfiguredChannel, build_channels
from app.delivery.channels.channel import Channel, ChannelBroken, DeliveryError
from tests.alerting import alert_settings, service
from tests.integration.test_alert_channels import message
from tests.proxy import proxy
from tests.tls import TlsServer

pytestmark = pytest.mark.integration

LOGIN = "desk:s3cret-9"
FILE = """
[alerts.channel.discord]
url_env = "URL"
chart = false
[alerts.channel.email]
host = "127.0.0.1"
port = 1
sender = "a@example.com"
to = ["b@example.com"]
[alerts.delivery]
timeout_seconds = 60
lease_seconds = 180
proxy_env = "PROXY"
"""


def channel(url: str, through: str, file: str = FILE) -> Channel:
    return build_channels(alert_settings(file), {"URL": url, "PROXY": through}.get)["discord"]


def test_https_goes_through_a_tunnel_and_the_proxy_resolves_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = TlsServer(tmp_path, lambda _: b"HTTP/1.1 204 No Content\r\n\r\n", name="hooks.invalid")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.ca))
    try:
        with proxy(server.port, LOGIN) as between:
            assert channel("https://hooks.invalid/api/webhooks/1/abc", between.url).send(message()) == 0
        assert [(request[:25], login) for request, login in between.requests] == [("CONNECT hooks.invalid:443", LOGIN)]
        assert server.received.startswith(b"POST /api/webhooks/1/abc")
        assert b"s3cret" not in server.received
        assert b"roxy-" not in server.received
    finally:
        server.close()


def test_http_is_requested_from_the_proxy() -> None:
    with service() as state, proxy(state.port) as between:
        assert channel("http://hooks.invalid/abc", between.url).send(message()) == 0
    assert between.requests == [("POST http://hooks.invalid/abc HTTP/1.1", "")]
    assert len(state.got) == 1


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with service() as state, proxy(state.port) as between:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
            monkeypatch.setenv(name, between.url)
        file = FILE.replace('proxy_env = "PROXY"', "").replace("chart = false", "allow_private = true")
        assert channel(state.url, "", file).send(message()) == 0
    assert between.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_its_login_is_named_without_the_login(scheme: str) -> None:
    with service() as state, proxy(state.port, "other:one") as between:
        through = between.url.replace("other:one", LOGIN)
        with pytest.raises(
            DeliveryError,
            match=r"^the proxy \(proxy_env in candlewick.toml\) answered 407: it needs a login, or another one$",
        ):
            channel(f"{scheme}://hooks.invalid/abc", through).send(message())
    assert state.got == []


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_that_may_be_the_proxys_own_disables_no_channel(status: int) -> None:
    answer = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status
    with service() as state, proxy(state.port, answer=answer, pause_s=0) as between:
        made = channel("http://hooks.invalid/abc", between.url)
        error_text = f"^the proxy .*, or the service behind it, answered {status}$"
        with pytest.raises(DeliveryError, match=error_text) as error:
            made.send(message())
    assert type(error.value) is DeliveryError, "it is tried again"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 " + b"x" * 400, b"HTTP/1.1 200 OK\r\nA: " + b"x" * 400])
def test_a_proxy_that_drips_is_given_up_in_time(answer: bytes) -> None:
    file = FILE.replace("timeout_seconds = 60", "timeout_seconds = 2")
    with service() as state, proxy(state.port, answer=answer) as between, pytest.raises(DeliveryError, match="in time"):
        channel("https://hooks.invalid/abc", between.url, file).send(message())
    assert state.got == []


def test_a_failed_connection_to_the_proxy_is_reported() -> None:
    with pytest.raises(
        DeliveryError, match=r"no connection through the proxy \(proxy_env in candlewick.toml\)"
    ) as error:
        channel("https://hooks.invalid/abc", f"http://{LOGIN}@127.0.0.1:1").send(message())
    assert type(error.value) is DeliveryError


def test_an_address_that_is_private_is_refused_behind_a_proxy_too() -> None:
    with service() as state, proxy(state.port) as between:
        made = channel(f"http://127.0.0.1:{state.port}/abc", between.url)
        with pytest.raises(ChannelBroken, match="private address"):
            made.send(message())
    assert between.requests == []


@pytest.mark.parametrize(
    "wrong", ["", "proxy:3128", "socks5://h:1080", "http://", "http://u:s3cret-9@h:x", "http://u:s3cret-9\udcff@h"]
)
def test_an_invalid_proxy_stops_only_its_channels(wrong: str) -> None:
    made = build_channels(alert_settings(FILE), {"URL": "https://hooks.invalid/abc", "PROXY": wrong}.get)
    assert isinstance(made["discord"], MisconfiguredChannel)
    assert made["discord"].reason.startswith("channel discord: ")
    assert "PROXY" in made["discord"].reason
    assert ("SOCKS is not supported" in made["discord"].reason) == (bool(wrong) and wrong.isprintable())
    assert "s3cret" not in made["discord"].reason
    assert not isinstance(made["email"], MisconfiguredChannel)


def test_an_unset_proxy_stops_only_its_channels() -> None:
    file = FILE + "[alerts.channel.log]\n"
    made = build_channels(alert_settings(file), {"URL": "https://hooks.invalid/abc"}.get)
    assert isinstance(made["discord"], MisconfiguredChannel)
    assert made["discord"].reason == "channel discord: the environment variable PROXY is not set"
    assert not any(isinstance(made[name], MisconfiguredChannel) for name in ("email", "log"))
