"""A client of the HTTP API, in one file that depends only on `requests`: copy it where you need it.

    from client import Client

    client = Client("http://127.0.0.1:8000")
    candles = client.candles("BTC-USD", "5m", limit=100)
    for event in client.events(products=["BTC-USD"], kinds=["close", "indicator"]):
        print(event.kind, event.product, event.timeframe, event.data)

`events` runs until `close`. It reconnects if the connection breaks or falls silent, and resumes after the last event
that it yielded, so that none is missing or repeated. If the break was too long for that, it yields an event of kind
`gap`: read the candles again then. To resume after its own restart, a program stores `event.id` (or `client.position`)
and passes it as `after`.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import requests

log = logging.getLogger(__name__)

GAP = "gap"
SILENCE_S = 45.0
"""A connection without data for this long counts as broken (the server sends something every 15 s)."""

FIRST_DELAY_S, MAX_DELAY_S = 0.25, 15.0
"""Delay between attempts to connect: doubled each time, and randomized so that clients do not connect at once."""


class ApiError(Exception):
    """The API refused a request. `code` is for programs; with `retry_after_s`, the request may succeed later."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{message} ({status} {code})")
        self.status, self.code, self.message, self.retry_after_s = status, code, message, retry_after_s


@dataclass(frozen=True, slots=True)
class Candle:
    """One bucket. `start`: UNIX seconds; `trades`: false if proven empty; `state`: forming, closed or confirmed.

    `corrected`: it replaced another closed candle (known for requested candles, not for events).
    `provisional`: closed, but possibly wrong; it is confirmed or corrected soon.
    """

    start: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: bool
    state: str
    corrected: bool = False
    provisional: bool = False

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Candle:
        """The candle in `row`; other fields are ignored."""
        return cls(**{name: row[name] for name in cls.__slots__ if name in row})


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `kind`: close, correction, indicator, alert, alert_state, forming (has no id), or gap.

    A gap has neither product nor timeframe. An alert_state (withdrawn or restored) has only its alert's id.

    `data`: a candle, an indicator value or an alert.
    """

    id: str | None
    kind: str
    product: str
    timeframe: str
    data: dict[str, Any]

    @property
    def candle(self) -> Candle:
        """The candle of a close, a correction or a forming event."""
        return Candle.from_row(self.data)


class Client:
    """One HTTP session, for one thread. `token` is the server's CANDLEWICK_WEB_TOKEN, if it has one."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._session.auth = lambda request: request  # else a login in ~/.netrc would replace the token
        self._stopped = threading.Event()
        self.position: str | None = None
        """Id of the event after which the stream resumes."""

    def close(self) -> None:
        """End the session. From another thread, `events` ends at the next data from the server."""
        self._stopped.set()
        self._session.close()

    def status(self) -> dict[str, Any]:
        """The installation's state: `ready`, `summary`, `reasons` and more. Raises `ApiError` or requests' errors."""
        return self._get("/v1/status")

    def products(self) -> list[dict[str, Any]]:
        """Followed products with their newest indicators."""
        return list(self._get("/v1/products")["products"])

    def candles(
        self,
        product: str,
        timeframe: str = "5m",
        *,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
    ) -> list[Candle]:
        """Candles, oldest first: the newest `limit` (500), or from `start` to `end` (inclusive, UNIX seconds)."""
        query = {"timeframe": timeframe, "start": start, "end": end, "limit": limit}
        return [Candle.from_row(row) for row in self._get(f"/v1/candles/{product}", **query)["candles"]]

    def indicators(self, product: str, timeframe: str = "5m", *, limit: int = 100) -> dict[str, Any]:
        """MACD-V of the newest closed candles: `latest`, and `series` (oldest first)."""
        return self._get(f"/v1/indicators/{product}", timeframe=timeframe, limit=limit)

    def events(
        self,
        products: Iterable[str] = (),
        timeframes: Iterable[str] = (),
        kinds: Iterable[str] = (),
        *,
        after: str | None = None,
    ) -> Iterator[Event]:
        """Events as they happen, from after the event `after`, or from now on.

        `products` and `timeframes` default to all, `kinds` to all but forming. Raises `ApiError`
        only if a retry cannot help (a product that is not followed, a wrong token).
        """
        query = {"products": products, "timeframes": timeframes, "kinds": kinds}
        wanted = {name: text for name, values in query.items() if (text := ",".join(values))}
        self.position = after or self.position
        delay_s = FIRST_DELAY_S
        while not self._stopped.is_set():
            try:
                for event in self._connection(wanted):
                    delay_s = FIRST_DELAY_S
                    yield event
            except (requests.RequestException, ApiError) as error:
                if self._stopped.is_set():
                    return
                if isinstance(error, ApiError) and error.retry_after_s is None and error.status < 500:
                    raise
                log.warning("stream: %s; reconnecting in about %.1f s", error, delay_s)
            self._stopped.wait(delay_s * random.uniform(0.5, 1.0))
            delay_s = min(MAX_DELAY_S, 2 * delay_s)

    def _connection(self, wanted: dict[str, str]) -> Iterator[Event]:
        """The events of one connection, until it breaks."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": self.position} if self.position else {})}
        timeout = (self._timeout_s, SILENCE_S)
        with self._session.get(
            f"{self._url}/v1/stream", params=wanted, headers=headers, stream=True, timeout=timeout
        ) as answer:
            _check(answer)
            for block in _blocks(answer.iter_content(chunk_size=None)):
                fields = _fields(block)
                # Only now: an event that cannot be read was not delivered.
                event = _event(fields)
                self.position = fields.get("id", self.position)
                if event:
                    yield event
                if self._stopped.is_set():
                    return

    def _get(self, path: str, **query: object) -> dict[str, Any]:
        params = {name: str(value) for name, value in query.items() if value is not None}
        answer = self._session.get(self._url + path, params=params, timeout=self._timeout_s)
        _check(answer)
        return dict(answer.json())


def _check(answer: requests.Response) -> None:
    if answer.ok:
        return
    try:
        error = answer.json()["error"]
        raise ApiError(answer.status_code, error["code"], error["message"], error.get("retry_after_s"))
    except (ValueError, KeyError, TypeError):
        raise ApiError(answer.status_code, "unknown", answer.text[:200]) from None


def _blocks(chunks: Iterable[bytes]) -> Iterator[str]:
    """Blocks of lines, each ended by an empty line; an incomplete last one is dropped."""
    kept = b""
    for chunk in chunks:
        *whole, kept = (kept + chunk).split(b"\n\n")
        for block in whole:
            yield block.decode()


def _fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        if name:  # a line that begins with a colon is a comment
            fields[name] = value.removeprefix(" ")
    return fields


def _event(fields: dict[str, str]) -> Event | None:
    """The event of a block; None if it has only an id or a comment."""
    if not fields.get("data"):
        return None
    data = json.loads(fields["data"])
    return Event(
        fields.get("id"), fields.get("event", "message"), data.get("product", ""), data.get("timeframe", ""), data
    )
