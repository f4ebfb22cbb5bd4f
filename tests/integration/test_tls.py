"""Nothing is sent to a server without a valid certificate; ordinarily trusted servers are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.cli.alerts import example
from app.delivery.channels.build import build_channels
from app.delivery.channels.channel import DeliveryError
from app.errors import Unavailable
from app.exchange.coinbase.rest import CoinbaseRest
from app.exchange.pacing import Limiter
from tests.alerting import alert_settings
from tests.feeds import coinbase_feed
from tests.support import PATIENCE_S, eventually
from tests.tls import TlsServer

pytestmark = pytest.mark.integration

SECRET = "canary-5b2e"
ALERTS = """
[alerts.channel.hook]
kind = "webhook"
url_env = "URL"
allow_private = true
[alerts.channel.discord]
url_env = "URL"
allow_private = true
[alerts.channel.telegram]
token_env = "TOKEN"
chat = "-100123"
api_url = "https://localhost:{port}"
allow_private = true
[alerts.channel.mail]
kind = "email"
host = "localhost"
port = {port}
security = "{security}"
sender = "me@example.com"
to = ["you@example.com"]
chart = false
user_env = "TOKEN"
password_env = "TOKEN"
[alerts.delivery]
timeout_seconds = 60
lease_seconds = 180
"""


def http_reply(_: bytes) -> bytes:
    body = b'{"epochMillis": "1769093410123"}'
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def not_found(_: bytes) -> bytes:
    return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def mail_reply(command: bytes) -> bytes:
    if command[:4].upper() == b"EHLO":
        return b"250-mail\r\n250 AUTH PLAIN\r\n"
    return {b"AUTH": b"235 ok\r\n", b"DATA": b"354 go\r\n", b"QUIT": b"221 bye\r\n"}.get(
        command[:4].upper(), b"250 ok\r\n"
    )


Serve = Callable[..., TlsServer]
Trust = Callable[[TlsServer], None]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    servers = []

    def start(reply: Callable[[bytes], bytes], **options: Any) -> TlsServer:
        servers.append(TlsServer(tmp_path, reply, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def only_the_usual_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def trust(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[[TlsServer], None]:
    """Makes this process trust a server's authority by either usual variable."""

    def trusted(server: TlsServer) -> None:
        assert server.received == b""
        monkeypatch.setenv(request.param, str(server.ca))

    return trusted


def feed_error(url: str) -> str:
    """The feed's error at its first try to connect."""
    adapter = coinbase_feed(url, lambda _: None, connect_timeout_seconds=PATIENCE_S, connections_limiter=Limiter(100))
    adapter.subscribe(["BTC-USD"])
    adapter.connect()
    try:
        return str(eventually(lambda: adapter.health()[0].last_error))
    finally:
        adapter.disconnect()


def test_the_stream(serve: Serve, trust: Trust) -> None:
    server = serve(not_found)
    url = f"wss://localhost:{server.port}"
    assert "certificate verify failed" in feed_error(url)
    trust(server)
    assert "certificate verify failed" in feed_error(url.replace("localhost", "127.0.0.1")), "of another host"
    assert server.received == b""
    assert "404" in feed_error(url)
    assert server.received.startswith(b"GET / HTTP/1.1\r\n")


def test_rest(serve: Serve, trust: Trust) -> None:
    server = serve(http_reply)

    def rest(host: str) -> CoinbaseRest:
        return CoinbaseRest(f"https://{host}:{server.port}", PATIENCE_S)

    with pytest.raises(Unavailable, match="certificate verify failed"):
        rest("localhost").time_ms()
    trust(server)
    with pytest.raises(Unavailable, match=r"Hostname mismatch|IP address mismatch"):
        rest("127.0.0.1").time_ms()
    assert server.received == b""
    assert rest("localhost").time_ms() == 1_769_093_410_123


@pytest.mark.parametrize(
    ("name", "security"),
    [("hook", "tls"), ("discord", "tls"), ("telegram", "tls"), ("mail", "tls"), ("mail", "starttls")],
)
def test_channels(serve: Serve, trust: Trust, name: str, security: str) -> None:
    if name == "mail":
        server = serve(mail_reply, greeting=b"220 mail\r\n", starttls=security == "starttls")
    else:
        server = serve(http_reply)
    settings = alert_settings(ALERTS.format(port=server.port, security=security))
    environ = {"URL": f"https://localhost:{server.port}/{SECRET}", "TOKEN": SECRET}
    with pytest.raises(DeliveryError, match=r"TLS failed|SSLCertVerificationError") as caught:
        build_channels(settings, environ.get)[name].send(example())
    assert SECRET not in str(caught.value)
    trust(server)
    build_channels(settings, environ.get)[name].send(example())
    assert server.received
