"""Pages of other sites cannot read this server through a name that resolves to this machine."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.web.host_check import HostCheckMiddleware


async def fine(_: Scope, receive: Receive, send: Send) -> None:
    del receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def status(*hosts: str, names: tuple[str, ...] = ()) -> int:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", host.encode()) for host in hosts]
    asyncio.run(HostCheckMiddleware(fine, names)({"type": "http", "path": "/", "headers": headers}, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST.",
        "me.localhost:1",
        "127.0.0.1:8000",
        "127.8.8.8",
        "[::1]:8000",
        "[::1]",
    ],
)
def test_the_names_of_this_machine_are_answered(host: str) -> None:
    assert status(host) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "evillocalhost",
     "10.0.0.1", "0.0.0.0", "", "[", "127.0.0.1@evil.example", "evil.example/127.0.0.1"],
)  # fmt: skip
def test_others_are_not(host: str) -> None:
    assert status(host) == 421
    assert status("localhost", host) == 421, "not even as a second one"


def test_a_setting_adds_names() -> None:
    assert status("desk.example:8000", names=("Desk.example",)) == 200
    assert status("other.example", names=("Desk.example",)) == 421


def test_a_request_without_a_host_is_answered() -> None:
    assert status() == 200
