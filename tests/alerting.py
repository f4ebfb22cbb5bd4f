"""Alerts without a market, and an HTTP server with programmed responses."""

from __future__ import annotations

import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import orjson

from app.alerts.facts import identity
from app.alerts.settings import AlertSettings
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.alert_changes import Alert, AlertChange, AlertCursor
from app.storage.indicators import IndicatorCache, IndicatorValue
from tests.servers import serving

B0 = 1_614_816_000
SERIES = Series("coinbase", "BTC-USD", Timeframe.M5)
RULED = " levels:00000000 "
"""The rule of the alerts made here, as `Watch.names_of` would name it."""


def alert_settings(text: str) -> AlertSettings:
    """The section `alerts` of a file of settings."""
    return AlertSettings.model_validate(tomllib.loads(text)["alerts"])


def fact(number: int, series: Series = SERIES, **changes: Any) -> dict[str, Any]:
    start_s = B0 + number * series.timeframe.seconds
    return {
        "id": identity("levels", series, start_s),
        "rule": "levels",
        "kind": "level",
        "exchange": "coinbase",
        "product": series.product,
        "timeframe": str(series.timeframe),
        "start": start_s,
        "end": start_s + series.timeframe.seconds,
        "event": {"level": -150.0, "direction": "down"},
        "price": 89_110.93,
        "macdv": -163.3,
        "signal": -140.0,
        "histogram": -23.3,
        "stage": "oversold",
        "timeframes": {
            "5m": {"macdv": -163.3, "stage": "oversold"},
            "1h": {"macdv": 102.0, "stage": "rallying"},
            "1d": None,
        },
        "bias": "Bullish",
        "confirmed": False,
        "candles": 500,
        "definition": "00000000",
        **changes,
    }


def raise_alerts(
    cache: IndicatorCache,
    numbers: Iterable[int],
    channels: tuple[str, ...],
    *,
    series: Series = SERIES,
    revision: int = 1,
) -> list[str]:
    """Store alerts of one bar each and return their ids. Other alerts of the same bars are withdrawn."""
    numbers = list(numbers)
    facts = [fact(n, series) for n in numbers]
    alerts = [Alert(f["id"], f["start"], "-150 down", channels, f) for f in facts]
    first_s, last_s = B0 - 300, B0 + 300 * max([0, *numbers])
    if cache.read_cursors([series])[0] is None:
        change = AlertChange(AlertCursor(first_s, first_s, first_s), True, [], RULED, [], [])
        cache.write([IndicatorValue(series, revision, first_s, {}, change)])
    change = AlertChange(AlertCursor(first_s, last_s, first_s), False, [(B0, B0 + 300 * 10_000)], RULED, alerts, [])
    cache.write([IndicatorValue(series, revision + 1, last_s, {}, change)], last_s + 300)
    return [f["id"] for f in facts]


class Got(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return str(orjson.loads(self.body)["id"])


Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (200, {}, b"{}")


class Torn(NamedTuple):
    """Send these bytes and close the connection. A 2xx status line among them counts as accepted."""

    data: bytes


class Service:
    """The requests that it received, and the responses that it sends: `answer` gets the number of the request, from 0.

    `accepted`: the ids that it answered with 2xx; `accepted_s`: when (monotonic), one for each.
    """

    def __init__(self, answer: Callable[[int], Answer | Torn]) -> None:
        self.answer = answer
        self.got: list[Got] = []
        self.accepted: list[str] = []
        self.accepted_s: list[float] = []
        self.port = 0
        self._lock = threading.Lock()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> Answer | Torn:
        with self._lock:
            number = len(self.got)
            self.got.append(Got(path, headers, body))
        answer = self.answer(number)
        if is_success(answer) and body[:1] == b"{":
            with self._lock:
                self.accepted.append(str(orjson.loads(body).get("id")))
                self.accepted_s.append(time.monotonic())
        return answer

    def copies(self) -> list[tuple[str, float, float]]:
        """Messages accepted more than once: the id, the time of the previous delivery, and of this one."""
        last_s: dict[str, float] = {}
        again = []
        with self._lock:
            for identity, at_s in zip(self.accepted, self.accepted_s, strict=True):
                if identity in last_s:
                    again.append((identity, last_s[identity], at_s))
                last_s[identity] = at_s
        return again

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def is_success(answer: Answer | Torn) -> bool:
    return answer.data.startswith(b"HTTP/1.1 2") if isinstance(answer, Torn) else answer[0] < 300


@contextmanager
def service(answer: Callable[[int], Answer | Torn] = lambda _: OK) -> Iterator[Service]:
    """A real HTTP server on loopback."""
    state = Service(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the client was killed while it sent
                return
            answer = state.take(self.path, dict(self.headers), body)
            if isinstance(answer, Torn):
                self.close_connection = True
                with suppress(OSError):
                    self.wfile.write(answer.data)
                return
            status, headers, content = answer
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Ignore broken connections: some tests kill the client."""

    with serving(Server(("127.0.0.1", 0), Handler)) as state.port:
        yield state
