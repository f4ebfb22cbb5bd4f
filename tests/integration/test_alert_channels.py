"""Each kind of channel against a real server: the requests, and the meaning of the responses."""

from __future__ import annotations

import email
import email.policy
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import orjson
import pytest
from PIL import Image

from app.cli.alerts import example
from app.delivery.channels.build import build_channels
from app.delivery.channels.channel import Channel, ChannelBroken, DeliveryError, Message, MessageRefused, TooMany
from app.delivery.channels.http import MAX_BYTES, Http
from app.delivery.texts import lines_of, title_of
from tests.alerting import OK, Answer, Service, Torn, alert_settings, fact, service
from tests.servers import listening
from tests.support import PATIENCE_S

pytestmark = pytest.mark.integration

CANARY = "canary-77aa"
NOW_S = 1_614_816_000
FILE = """
[alerts.channel.discord]
url_env = "URL"
allow_private = true
[alerts.channel.telegram]
token_env = "TOKEN"
chat = "-100123"
api_url = "{url}"
allow_private = true
[alerts.delivery]
timeout_seconds = {timeout_s}
lease_seconds = 180
"""


def message(chart_of: bytes | None = None, **changes: Any) -> Message:
    alert = fact(1, **changes)
    return Message(f"{alert['id']}|raised", "raised", alert, title_of(alert), lines_of(alert), lambda: chart_of, NOW_S)


def channels(url: str, timeout_s: float = 60) -> dict[str, Channel]:
    environ = {"URL": f"{url}/api/webhooks/1/{CANARY}", "TOKEN": f"12:{CANARY}"}
    return build_channels(alert_settings(FILE.format(url=url, timeout_s=timeout_s)), environ.get)


def parts_of(content_type: str, body: bytes) -> dict[str, Any]:
    """The parts of a form, by name."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    return {p.get_param("name", header="content-disposition"): p for p in form.iter_parts()}  # type: ignore[attr-defined]


def sent(name: str, what: Message, answer: Answer = OK) -> tuple[Service, dict[str, Any]]:
    with service(lambda _: answer) as state:
        channels(state.url)[name].send(what)
    (got,) = state.got
    return state, parts_of(got.headers["Content-Type"], got.body)


def test_discord_gets_an_embed_with_the_chart() -> None:
    state, parts = sent("discord", message(b"\x89PNG"), (204, {}, b""))
    payload = orjson.loads(parts["payload_json"].get_payload(decode=True))
    (embed,) = payload["embeds"]
    assert state.got[0].path == f"/api/webhooks/1/{CANARY}"
    assert embed["title"] == "BTC-USD: MACD-V crossed below -150 (5m)"
    assert embed["footer"]["text"] == f"{fact(1)['id']}|raised"
    assert embed["image"]["url"] == "attachment://chart.png"
    for part in (
        "Entering oversold territory",
        "89110.93",
        "-163.3",
        "-140.0",
        "-23.3",
        "oversold",
        "Bullish",
        "closed",
    ):
        assert part in embed["description"]
    assert "5m: -163  |  1h: +102\n 1d: N/A" in embed["description"]
    assert parts["files[0]"].get_payload(decode=True) == b"\x89PNG"
    assert payload["allowed_mentions"] == {"parse": []}


def test_discord_without_candles_gets_the_text_alone() -> None:
    _, parts = sent("discord", message())
    assert list(parts) == ["payload_json"]
    assert "image" not in orjson.loads(parts["payload_json"].get_payload(decode=True))["embeds"][0]


def test_discord_sets_the_pause_before_the_next_message() -> None:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "1.5"}
    with service(lambda _: (204, headers, b"")) as state:
        assert channels(state.url)["discord"].send(message()) == 1.5


def test_telegram_gets_a_photo_with_a_caption() -> None:
    state, parts = sent("telegram", message(b"\x89PNG"))
    assert state.got[0].path == f"/bot12:{CANARY}/sendPhoto"
    assert parts["chat_id"].get_payload(decode=True) == b"-100123"
    caption = parts["caption"].get_payload(decode=True).decode()
    assert caption.startswith("BTC-USD: MACD-V crossed below -150 (5m)\n")
    assert caption.endswith(f"{fact(1)['id']}|raised")
    state, parts = sent("telegram", message())
    assert state.got[0].path.endswith("/sendMessage")
    assert set(parts) == {"chat_id", "text"}


@pytest.mark.parametrize(
    ("name", "answer", "error", "pause_s"),
    [
        ("discord", (429, {"Retry-After": "2"}, b'{"retry_after": 1.25}'), TooMany, 1.25),
        ("discord", (429, {"Retry-After": "2"}, b"<html>"), TooMany, 2.0),
        ("discord", (429, {}, b""), TooMany, 5.0),
        ("discord", (429, {"Retry-After": "nan"}, b'{"retry_after": -1}'), TooMany, 5.0),
        ("discord", (429, {"Retry-After": "65000"}, b""), TooMany, 65.0),  # milliseconds
        ("discord", (429, {"Retry-After": "9" * 400}, b'{"retry_after": 1' + b"0" * 400 + b"}"), TooMany, 5.0),
        ("discord", (429, {}, b"[" * 50_000), TooMany, 5.0),
        ("telegram", (429, {}, b'{"ok":false,"parameters":{"retry_after":7}}'), TooMany, 7.0),
        ("telegram", (400, {}, b'{"ok":false,"description":"Bad Request: chat not found"}'), ChannelBroken, None),
        ("telegram", (400, {}, b'{"ok":false,"description":"Bad Request"}'), MessageRefused, None),
        ("discord", (400, {}, b""), MessageRefused, None),
        *(
            ("discord", (status, {"Location": "http://127.0.0.1:1/"}, b""), DeliveryError, None)
            for status in (301, 302, 304, 307, 308)
        ),
        ("discord", (429, {"Content-Encoding": "gzip", "Retry-After": "2"}, b"no gzip"), TooMany, 2.0),
        ("discord", (404, {"Content-Encoding": "gzip"}, b"no gzip"), ChannelBroken, None),
        *(("discord", (status, {}, b""), ChannelBroken, None) for status in (401, 403, 404, 410)),
        *(("discord", (status, {}, b""), DeliveryError, None) for status in (408, 500, 502, 503)),
    ],
)
def test_meaning_of_responses(name: str, answer: Answer, error: type[DeliveryError], pause_s: float | None) -> None:
    with service(lambda _: answer) as state, pytest.raises(error) as caught:
        channels(state.url)[name].send(message())
    assert type(caught.value) is error
    assert caught.value.retry_after_s == pause_s
    assert CANARY not in str(caught.value)


def test_a_refusal_quotes_the_service_without_the_secret() -> None:
    description = f"Webhooks posted to forum channels need a thread_name\n{CANARY} /api/webhooks/1/{CANARY}"
    answer: Answer = (400, {}, orjson.dumps({"message": description, "code": 220001}))
    with service(lambda _: answer) as state, pytest.raises(MessageRefused) as caught:
        channels(state.url)["discord"].send(message())
    text = str(caught.value)
    assert text.startswith("the service answered 400: Webhooks posted to forum channels need a thread_name *** ")
    assert CANARY not in text


@pytest.mark.parametrize(
    ("path", "description"),
    [
        ("/mydesk-alerts", "topic mydesk-alerts is full"),
        ("/mydeskalerts", "topic mydeskalerts is full"),
        ("/services/T0/aB3%2Fd9Kx2", "no aB3/d9Kx2 here"),
        ("/services/T0/aB3%2Fd9Kx2", "no aB3%2Fd9Kx2 here"),
        ("/services/T0/aB3%2Fd9Kx2", "no aB3%2fd9Kx2 here"),
        ("/services/aB3d9Kx2", "no AB3D9KX2 here"),
        ("/services/aB3d.9Kx2", "no aB3d.9Kx2 here"),
        ("/?key=ab3d9kx2", "no key=ab3d9kx2 here"),
        ("/?key=ab3d9kx2", "no İab3d9kx2 here"),
    ],
)
def test_no_spelling_of_a_secret_in_the_url_is_shown(path: str, description: str) -> None:
    with service(lambda _: (400, {}, orjson.dumps({"message": description}))) as state:
        reply = Http(state.url + path, timeout_s=PATIENCE_S, allow_private=True).post(b"", {})
    first, last = description.split()[0], description.split()[-1]
    assert reply.said.startswith(f"{first} ")
    assert reply.said.endswith(f" {last}")
    assert "***" in reply.said
    assert not {"desk", "alert", "d9kx", "b3d9"} & {reply.said.lower()[i : i + 4] for i in range(len(reply.said))}


def test_a_host_name_may_be_secret_and_usual_words_are_not() -> None:
    http = Http("https://k4x9q2.example.com/api/webhooks/1/x", timeout_s=1, allow_private=True)
    assert http._without_secrets("Webhooks of k4x9q2.example.com: no webhook") == "Webhooks of ***: no webhook"


def test_a_telegram_group_that_has_moved_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    moved = {"ok": False, "description": "Bad Request: group chat was upgraded to a supergroup chat"}
    answers = [(400, {}, orjson.dumps({**moved, "parameters": {"migrate_to_chat_id": -100999}})), OK, OK]
    with service(lambda number: answers[number]) as state:
        channel = channels(state.url)["telegram"]
        target = channel.target
        for _ in range(2):
            channel.send(message(b"\x89PNG"))
    chats = [parts_of(g.headers["Content-Type"], g.body)["chat_id"].get_payload(decode=True) for g in state.got]
    assert chats == [b"-100123", b"-100999", b"-100999"]
    assert channel.target == target, "it is the same channel"
    assert "the Telegram group -100123 has become -100999" in caplog.text


DRIPS = 600


@contextmanager
def dripping(begin: bytes, byte: bytes, end: bytes = b"") -> Iterator[tuple[int, list[bytes]]]:
    """The port of a service that answers correctly but byte by byte, in half a minute, and the bytes sent so far."""
    sent: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        connection.sendall(begin)
        for _ in range(DRIPS):
            connection.sendall(byte)
            sent.append(byte)
            threading.Event().wait(0.05)
        connection.sendall(end)

    with listening(handle) as port:
        yield port, sent


def test_an_answer_whose_head_drips_is_given_up_in_time() -> None:
    begin, end = b"HTTP/1.1 200 OK\r\nX-A: ", b"\r\nContent-Length: 0\r\n\r\n"
    with dripping(begin, b"a", end) as (port, _), pytest.raises(DeliveryError, match="in time") as caught:
        channels(f"http://127.0.0.1:{port}", timeout_s=1)["discord"].send(message())
    assert type(caught.value) is DeliveryError


@pytest.mark.parametrize(
    "answer",
    [
        (200, {"Content-Encoding": "gzip"}, b"this is not gzip"),
        (200, {"Content-Encoding": "br"}, b"\xff"),
        Torn(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        Torn(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ],
)
def test_an_accepted_message_is_not_sent_again_whatever_the_body_is(answer: Answer | Torn) -> None:
    with service(lambda _: answer) as state:
        channel = channels(state.url)["discord"]
        for _ in range(2):
            assert channel.send(message()) == 0
    assert len(state.got) == 2


def test_a_body_that_drips_is_not_waited_for() -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % DRIPS, b"a") as (port, sent):
        assert channels(f"http://127.0.0.1:{port}", timeout_s=3)["discord"].send(message()) == 0
        assert len(sent) < DRIPS


def test_after_a_body_that_was_cut_at_its_deadline_the_next_message_is_sent_once() -> None:
    """The rest of the first response must not be read as the second one."""
    taken: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        while part := connection.recv(65536):
            if b"payload_json" in part:
                taken.append(part)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
                for _ in range(20):
                    connection.sendall(b"a")
                    threading.Event().wait(0.3)

    with listening(handle) as port:
        channel = channels(f"http://127.0.0.1:{port}", timeout_s=3)["discord"]
        assert [channel.send(message()) for _ in range(2)] == [0, 0]
    assert len(taken) == 2


def test_a_mail_server_that_drips_is_given_up_in_time() -> None:
    with dripping(b"220", b"-x\r\n220", b" fine\r\n") as (port, _), pytest.raises(DeliveryError) as caught:
        mailbox(port, timeout_s=1).send(message())
    assert "SMTPServerDisconnected" in str(caught.value)


def test_a_password_that_smtp_cannot_send_is_reported_without_it() -> None:
    with mail() as server, pytest.raises(ChannelBroken, match="holds characters") as caught:
        mailbox(server.port, login=True, password=f"{CANARY}ä").send(message())
    assert CANARY not in str(caught.value)


def test_of_an_endless_answer_only_the_beginning_is_read() -> None:
    with service(lambda _: (200, {}, b"x" * (MAX_BYTES + 100_000))) as state:
        reply = Http(state.url, timeout_s=PATIENCE_S, allow_private=True).post(b"", {})
    assert (reply.status, len(reply.body)) == (200, MAX_BYTES)


def test_a_service_that_is_down_or_silent_is_tried_again() -> None:
    hang = threading.Event()

    def answer(_: int) -> Answer:
        hang.wait(PATIENCE_S)
        return OK

    with service(answer) as state:
        with pytest.raises(DeliveryError, match="no answer in time") as caught:
            channels(state.url, timeout_s=1)["discord"].send(message())
        hang.set()
    assert type(caught.value) is DeliveryError
    with pytest.raises(DeliveryError, match="no connection"):
        channels(state.url)["discord"].send(message())


class Mail:
    """A mail server that accepts letters unless programmed otherwise."""

    def __init__(self, replies: dict[str, bytes]) -> None:
        self.replies, self.port = replies, 0
        self.letters: list[bytes] = []


@contextmanager
def mail(**replies: bytes) -> Iterator[Mail]:
    """`replies`: replies to commands that differ from the usual ones."""
    state = Mail(replies)

    def handle(connection: socket.socket) -> None:
        with connection.makefile("rwb", buffering=0) as stream, connection.makefile("rb") as lines:
            stream.write(b"220 here\r\n")
            while line := lines.readline():
                command = line.split()[0].upper().decode()
                usual = {"EHLO": b"250-here\r\n250 AUTH PLAIN", "DATA": b"354 go on", "QUIT": b"221 bye"}
                reply = state.replies.get(command, usual.get(command, b"250 fine"))
                stream.write(reply + b"\r\n")
                if command == "DATA" and reply.startswith(b"354"):
                    state.letters.append(b"".join(iter(lines.readline, b".\r\n")))
                    stream.write(state.replies.get("END", b"250 taken") + b"\r\n")

    with listening(handle) as state.port:
        yield state


def mailbox(port: int, login: bool = False, password: str = CANARY, timeout_s: float = 60) -> Channel:
    text = f'[alerts.channel.email]\nhost = "127.0.0.1"\nport = {port}\nsecurity = "none"\nsender = "a@example.com"\n'
    text += 'to = ["b@example.com"]\n' + ('user_env = "U"\npassword_env = "P"\n' if login else "")
    environ = {"U": "me", "P": password}
    text += f"[alerts.delivery]\ntimeout_seconds = {timeout_s}\nlease_seconds = 180\n"
    return build_channels(alert_settings(text), environ.get)["email"]


def test_a_letter_has_the_identity_as_its_message_id_and_the_chart_attached() -> None:
    with mail() as server:
        for _ in range(2):
            mailbox(server.port).send(message(b"\x89PNG"))
    first, second = (email.message_from_bytes(raw, policy=email.policy.default) for raw in server.letters)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Subject"] == "BTC-USD: MACD-V crossed below -150 (5m)"
    assert [p.get_content_type() for p in first.walk()] == ["multipart/mixed", "text/plain", "image/png"]
    body = first.get_body()
    assert body is not None
    assert f"{fact(1)['id']}|raised" in body.get_content()


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ({"AUTH": b"535 no " + CANARY.encode()}, ChannelBroken),
        ({"AUTH": b"454 later"}, DeliveryError),
        ({"RCPT": b"550 nobody"}, ChannelBroken),
        ({"RCPT": b"451 later"}, DeliveryError),
        ({"END": b"554 spam"}, MessageRefused),
        ({"END": b"452 full"}, DeliveryError),
    ],
)
def test_meaning_of_mail_server_replies(replies: dict[str, bytes], error: type[DeliveryError]) -> None:
    with mail(**replies) as server, pytest.raises(DeliveryError) as caught:
        mailbox(server.port, login="AUTH" in replies).send(message())
    assert type(caught.value) is error
    assert CANARY not in str(caught.value)


def test_a_chart_is_a_picture_for_a_phone() -> None:
    chart_of = example().chart_of()
    assert chart_of is not None
    image = Image.open(BytesIO(chart_of))
    assert (image.format, image.size) == ("PNG", (1200, 800))
    colors = {color for _, color in image.convert("RGB").getcolors(1_000_000) or []}
    for mark in ("#26a69a", "#ef5350", "#4d9fff", "#ff9f43", "#ffd54f"):  # candles, MACD-V, signal, the alert
        assert tuple(bytes.fromhex(mark[1:])) in colors
    assert len(chart_of) < 500_000


@pytest.mark.parametrize(
    ("kind", "event", "title"),
    [
        ("reversal", {"zone": "overbought", "buffer": 6.0}, "BTC-USD: Potential reversal down from overbought (5m)"),
        ("reversal", {"zone": "oversold", "buffer": 9.0}, "BTC-USD: Potential reversal up from oversold (5m)"),
        ("stage", {"from": "rallying", "to": "retracing"}, "BTC-USD: Stage changed from rallying to retracing (5m)"),
        ("price", {"price": 3.5e-05, "direction": "up"}, "BTC-USD: Price crossed above 0.000035 (5m)"),
        ("price", {"price": 100000.0, "direction": "down"}, "BTC-USD: Price crossed below 100000 (5m)"),
    ],
)
def test_titles(kind: str, event: dict[str, Any], title: str) -> None:
    assert title_of(fact(1, kind=kind, event=event)) == title


def test_an_alert_without_values_shows_it() -> None:
    lines = lines_of(
        fact(
            1,
            kind="price",
            event={"price": 1.0, "direction": "up"},
            macdv=None,
            signal=None,
            histogram=None,
            stage=None,
        )
    )
    assert "MACD-V N/A, signal N/A, histogram N/A" in lines


@pytest.mark.parametrize("host", ["①②⑦.0.0.1", "a..b", "a" * 70 + ".example"])
def test_a_host_that_cannot_be_written_disables_its_channel(host: str) -> None:
    channel = Http(f"https://{host}/x", timeout_s=PATIENCE_S, allow_private=False)
    with pytest.raises(ChannelBroken, match="characters that HTTP cannot send"):
        channel.post(b"{}", {})
