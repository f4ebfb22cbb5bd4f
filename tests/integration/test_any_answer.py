"""For any bytes that a channel's service answers: a success or one error of ours, and a pause that can be kept."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from app.delivery.channels.build import build_channels
from app.delivery.channels.channel import Channel, DeliveryError
from app.delivery.channels.http import DEFAULT_PAUSE_S, MAX_PAUSE_S
from tests.alerting import alert_settings
from tests.hostile import NUMBERS, SECRET, is_readable, some
from tests.integration.test_alert_channels import message
from tests.servers import listening
from tests.support import PATIENCE_S

pytestmark = pytest.mark.integration

quick = settings(some, suppress_health_check=list(HealthCheck), deadline=None)

FILE = """
[alerts.channel.discord]
url_env = "URL"
allow_private = true
[alerts.channel.webhook]
url_env = "URL"
secret_env = "KEY"
allow_private = true
[alerts.channel.telegram]
token_env = "TOKEN"
chat = "-100123"
api_url = "{url}"
allow_private = true
[alerts.channel.email]
host = "127.0.0.1"
port = {port}
security = "none"
sender = "a@example.com"
to = ["b@example.com"]
user_env = "USER"
password_env = "KEY"
[alerts.delivery]
timeout_seconds = 60
lease_seconds = 180
"""
OVER_HTTP = ("discord", "webhook", "telegram")


class Talker:
    """A server that sends `answer` to any client, at once or after its first bytes, and closes."""

    def __init__(self) -> None:
        self.answer = b""
        self.greets = False
        self.port = 0

    def handle(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        with suppress(OSError):
            if not self.greets:
                connection.recv(65536)
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


@pytest.fixture(scope="module")
def talker() -> Iterator[Talker]:
    state = Talker()
    with listening(state.handle) as state.port:
        yield state


def channels(port: int) -> dict[str, Channel]:
    url = f"http://127.0.0.1:{port}"
    environ = {"URL": f"{url}/api/webhooks/1/{SECRET}", "TOKEN": f"12:{SECRET}", "KEY": SECRET, "USER": "me"}
    return build_channels(alert_settings(FILE.format(url=url, port=port)), environ.get)


def tried(talker: Talker, name: str, answer: bytes) -> DeliveryError | None:
    """The outcome of a message over channel `name` if its service sends `answer`."""
    talker.answer, talker.greets = answer, name == "email"
    error, pause_s = None, 0.0
    try:
        pause_s = channels(talker.port)[name].send(message())
    except DeliveryError as refusal:
        error = refusal
    assert 0 <= pause_s <= 60
    assert error is None or is_readable(str(error), 300)
    assert error is None or error.retry_after_s is None or 0 <= error.retry_after_s <= MAX_PAUSE_S
    return error


statuses = st.sampled_from([200, 204, 299, 301, 400, 401, 404, 408, 418, 425, 429, 500, 503, 599, 999])
waits = st.sampled_from((*NUMBERS, "Wed, 21 Oct 2026 07:28:00 GMT", "", "9" * 5_000, "65000", "\u00e9")) | st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=10
)
names = st.sampled_from(["Retry-After", "X-RateLimit-Remaining", "X-RateLimit-Reset-After", "Content-Encoding", "X"])
headers = st.lists(st.tuples(names, waits | st.sampled_from(["0", "gzip", "br", "identity"])), max_size=4)
numbers = st.floats() | st.integers() | st.sampled_from([True, None, [], {}, 2**70, "1", "nan", "x"])
echoes = st.builds(
    "{}{}{}".format,
    st.text(max_size=20) | st.integers(150, 210).map("x".__mul__),
    st.sampled_from([SECRET, f"/1/{SECRET}", SECRET[:9], SECRET[5:], f"12:{SECRET}", "%4B" + SECRET[1:]]),
    st.text(max_size=20),
)
objects = st.fixed_dictionaries(
    {},
    optional={
        "retry_after": numbers,
        "parameters": numbers
        | st.fixed_dictionaries({}, optional={"retry_after": numbers, "migrate_to_chat_id": numbers}),
        **dict.fromkeys(("message", "description", "error"), echoes | numbers),
    },
)
bodies = (
    st.binary(max_size=60)
    | objects.map(lambda value: json.dumps(value).encode())
    | objects.map(lambda value: gzip.compress(json.dumps(value).encode()))
    | st.sampled_from([b"[" * 50_000, b'{"a":' * 9_000, b"x" * 100_000, b'"\\ud800"', gzip.compress(b"0" * 5_000_000)])
)


def answer_of(status: int, more: list[tuple[str, str]], body: bytes, cut: int = 0) -> bytes:
    lines = [f"HTTP/1.1 {status} So", *(f"{name}: {value}" for name, value in more), f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body[: len(body) - cut]


@pytest.mark.parametrize("name", OVER_HTTP)
def test_any_answer_is_a_success_or_an_error_of_ours(talker: Talker, name: str) -> None:
    @quick
    @example(400, [], json.dumps({"message": "x" * 190 + SECRET}).encode(), 0)
    @example(400, [], json.dumps({"message": f"unknown token {SECRET[:10]}"}).encode(), 0)
    @example(400, [], b'{"parameters":{"migrate_to_chat_id":true}}', 0)
    @given(statuses, headers, bodies, st.sampled_from([0, 0, 0, 1]))
    def holds(status: int, more: list[tuple[str, str]], body: bytes, cut: int) -> None:
        tried(talker, name, answer_of(status, more, body, min(cut, len(body))))

    holds()


@pytest.mark.parametrize("name", OVER_HTTP)
def test_any_bytes_are_an_error_of_ours(talker: Talker, name: str) -> None:
    @quick
    @example(b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n")
    @example(b"HTTP/1.1 100 Continue\r\n\r\n" * 3)
    @example(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")
    @example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    @example(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n")
    @example(b"HTTP/1.1 " + SECRET.encode() + b" \r\n\r\n")
    @example(b"")
    @given(st.binary(max_size=80) | st.binary(max_size=80).map(b"HTTP/1.1 429 So\r\n".__add__))
    def holds(answer: bytes) -> None:
        tried(talker, name, answer)

    holds()


@quick
@given(waits | numbers.map(str))
def test_any_pause_is_kept_to_or_replaced(talker: Talker, wait: str) -> None:
    error = tried(talker, "discord", answer_of(429, [("Retry-After", wait)], b""))
    assert error is not None
    assert error.retry_after_s is not None
    assert error.retry_after_s == DEFAULT_PAUSE_S or 0 <= error.retry_after_s <= MAX_PAUSE_S


GREETED = [b"220 here\r\n", b"250-here\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n"]

lines = st.builds(
    lambda code, text: code + text.encode("latin-1", "replace") + b"\r\n",
    st.sampled_from([b"220 ", b"250 ", b"250-", b"235 ", b"334 ", b"354 ", b"421 ", b"535 ", b"554 ", b"", b"999999 "]),
    st.text(max_size=12) | st.sampled_from([SECRET, "x" * 9_000, "AUTH CRAM-MD5", "SIZE \u0663", "\x00"]),
)


@quick
@example([b"220 here\r\n", b"250-here\r\n250 AUTH CRAM-MD5\r\n", b"334 no base64!\r\n", b"501 no\r\n"])
@example([b"220 here\r\n", b"250-here\r\n250 AUTH CRAM-MD5\r\n", b"334 \xff\xfe\r\n"])
@example([b"220 here\r\n", b"250-here\r\n250 AUTH CRAM-MD5\r\n", b"334 AUTHxxMD5\r\n"])
@example([b"220 here\r\n", b"250-here\r\n250 SIZE " + b"9" * 6_000 + b"\r\n250 AUTH PLAIN\r\n", b"235 fine\r\n"])
@given(st.lists(lines | st.binary(max_size=20), max_size=7) | st.lists(lines, max_size=5).map(GREETED.__add__))
def test_any_reply_of_a_mail_server_is_a_success_or_an_error_of_ours(talker: Talker, answer: list[bytes]) -> None:
    tried(talker, "email", b"".join(answer))
