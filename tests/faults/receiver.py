"""Faults of the receiver of alerts: responses that no channel expects."""

from __future__ import annotations

import random

from tests.alerting import OK, Answer, Torn
from tests.faults.world import Waits, World

LARGE = b"x" * 20_000_000
ODD_PAUSES = ("soon", "-5", "nan", "", "1e999", "Wed, 21 Oct 2015 07:28:00 GMT", "2.5", "4000")
POISON: tuple[Answer | Torn, ...] = (
    *((429, {"Retry-After": pause}, b"") for pause in ODD_PAUSES),
    (429, {}, b'{"retry_after": [1]}'),
    (200, {}, LARGE),
    (500, {}, LARGE),
    (200, {"Content-Encoding": "gzip"}, b"this is not gzip"),
    (500, {"Content-Encoding": "gzip"}, b"this is not gzip"),
    (200, {"Content-Type": "application/json; charset=utf-16"}, b'{"ok": "\xff\xfe\x00'),
    *((status, {"Location": "http://127.0.0.1:1/"}, b"") for status in (301, 302, 304, 307, 308)),
    *((status, {}, b"<html>") for status in (500, 502, 503, 504, 408)),
    Torn(b""),
    Torn(b"SSH-2.0-OpenSSH_9.6\r\n"),
    Torn(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    Torn(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 100\r\n\r\n"),
)
"""Without 401, 403, 404, 410 and other 4xx: they disable the channel or give the message up."""


def poisoned(world: World, chance: random.Random) -> Waits:
    """Answer with one of these at random for a while."""
    world.hook.answer = lambda _: chance.choice(POISON)
    yield chance.uniform(8, 16)
    world.hook.answer = lambda _: OK
