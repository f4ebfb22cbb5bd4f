"""One client has a limited share, without effect on others; clients of this machine are not counted."""

from __future__ import annotations

import asyncio
import json

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.web import rate_limit
from app.web.rate_limit import NOBODY, RateLimitMiddleware, counted_as

FAR, OTHER = "203.0.113.7", "203.0.113.8"


async def fine(_: Scope, receive: Receive, send: Send) -> None:
    del receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


class Web:
    """The middleware in front of an application that answers 200, at a time that the test sets."""

    def __init__(self, per_second: float) -> None:
        self.now_s = 1_000.0
        self._app = RateLimitMiddleware(fine, per_second, lambda: self.now_s)

    def request(self, host: str | None, *headers: tuple[bytes, bytes]) -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)

        client = (host, 1) if host else None
        scope = {"type": "http", "path": "/", "method": "GET", "client": client, "headers": list(headers)}
        asyncio.run(self._app(scope, receive, send))
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]

    def status(self, host: str | None, times: int = 1) -> list[int]:
        return [self.request(host)[0] for _ in range(times)]


def test_a_client_gets_its_share_and_no_more() -> None:
    web = Web(per_second=4)
    assert web.status(FAR, 10) == [200] * 8 + [429] * 2
    assert web.status(OTHER) == [200]
    web.now_s += 1
    assert web.status(FAR, 5) == [200] * 4 + [429]
    web.now_s += 60
    assert web.status(FAR, 9) == [200] * 8 + [429]


def test_a_proxy_cannot_hide_a_client() -> None:
    """It may forward anything: made-up names are one client, and so is a client that claims to be this machine."""
    assert {counted_as(name) for name in ("", "z" * 50_000, "evil.example", "1.2.3.4:5", "999.1.1.1")} == {NOBODY}
    web = Web(per_second=1)
    assert [web.request(f"made up {n}")[0] for n in range(3)] == [200, 200, 429]
    forwarded = (b"x-forwarded-for", b"127.0.0.1")
    assert [web.request("127.0.0.1", forwarded)[0] for _ in range(3)] == [429] * 3
    assert web.status("127.0.0.1", 9) == [200] * 9


def test_a_refusal_has_a_retry_after() -> None:
    web = Web(per_second=1)
    assert web.status(FAR, 2) == [200, 200]
    status, headers, body = web.request(FAR)
    assert (status, headers[b"retry-after"]) == (429, b"1")
    assert json.loads(body)["error"]["code"] == "too_many_requests"
    web.now_s += 1
    assert web.status(FAR) == [200]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", None])
def test_clients_of_this_machine_are_not_counted(host: str | None) -> None:
    assert web_status(host) == [200] * 50


def web_status(host: str | None) -> list[int]:
    return Web(per_second=1).status(host, 50)


def test_a_network_of_ipv6_is_one_client() -> None:
    assert counted_as("2001:db8:1:2::1") == counted_as("2001:db8:1:2:ffff::9") != counted_as("2001:db8:1:3::1")
    assert counted_as("::ffff:203.0.113.7") == FAR


def test_the_memory_is_bounded_and_drops_the_oldest_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_CLIENTS", 3)
    web = Web(per_second=1)
    hosts = [f"203.0.113.{number}" for number in range(3)]
    assert [web.status(host, 2) for host in hosts] == [[200, 200]] * 3
    web.status(FAR)
    assert web.status(hosts[1]) == [429]
    assert web.status(hosts[0]) == [200], "it was forgotten"


@pytest.mark.parametrize("header", [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")])
def test_a_body_is_refused_before_it_is_read(header: tuple[bytes, bytes]) -> None:
    status, headers, _ = Web(per_second=1).request("127.0.0.1", header)
    assert (status, headers[b"connection"]) == (413, b"close")
    assert Web(per_second=1).request("127.0.0.1", (b"content-length", b"0"))[0] == 200
