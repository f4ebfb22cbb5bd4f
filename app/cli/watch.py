"""Live view in the terminal until Ctrl-C: the status, or one series."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress

import orjson
from redis.exceptions import RedisError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from app.cli import tables
from app.context import Context
from app.events import Event, Wanted
from app.market.series import Series
from app.query.lookup import Lookup
from app.query.status import read_status
from app.storage.events import EventStream
from app.util.numbers import plain, plain_json
from app.util.timestamps import format_utc
from app.wire.candles import NUMBERS, CandleRow
from app.wire.indicators import IndicatorRow

EVERY_S = 0.5
"""Longest time between two redraws; an event redraws at once."""

WAIT_S = 1.0

ROWS = 5, 40
"""Fewest and most candles on the screen."""

EVENTS_SHOWN = 5


def watch_status(context: Context) -> None:
    """The status, once per second. An outage of Redis is shown until it ends."""
    _live(lambda console: _status(context, console), lambda: time.sleep(WAIT_S))


def watch_series(context: Context, series: Series, *, as_json: bool) -> None:
    """On a terminal, the newest candles with their indicators; into a pipe, one line per event."""
    if as_json or not sys.stdout.isatty():
        with suppress(KeyboardInterrupt):
            for event in _events(context, series):
                print(_line(event, as_json=as_json), flush=True)
        return
    newest: deque[str] = deque(maxlen=EVENTS_SHOWN)
    lookup, stream = Lookup(context, context.settings.timeframes), EventStream(context.redis)
    position, wanted = stream.read(None).position, _wanted(series)

    def draw(console: Console) -> RenderableType:
        return _series(lookup, series, newest, max(ROWS[0], min(ROWS[1], console.height - EVENTS_SHOWN - 6)))

    def wait() -> None:
        nonlocal position
        stream.wait(position, EVERY_S)
        page = stream.read(position)
        position = page.position
        newest.extend(_line(event, as_json=False) for event in wanted.select(page.events))

    _live(draw, wait)


def _live(draw: Callable[[Console], RenderableType], wait: Callable[[], None]) -> None:
    console = Console()
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        while True:
            try:
                live.update(draw(console), refresh=True)
                wait()
            except RedisError as error:
                live.update(Text(f"Redis cannot be reached: {error}; retrying", "bold red"), refresh=True)
                time.sleep(WAIT_S)


def _status(context: Context, console: Console) -> RenderableType:
    with console.capture() as drawn:
        tables.status(read_status(context, context.settings), console)
    return Text.from_ansi(drawn.get())


def _events(context: Context, series: Series) -> Iterator[Event]:
    stream = EventStream(context.redis)
    position, wanted = stream.read(None).position, _wanted(series)
    while True:
        stream.wait(position, WAIT_S)
        page = stream.read(position)
        if page.lost:
            print("events arrived faster than they could be read: some are missing here", file=sys.stderr)
        position = page.position
        yield from wanted.select(page.events)


def _wanted(series: Series) -> Wanted:
    return Wanted(products=frozenset({series.product}), timeframes=frozenset({series.timeframe}))


def _line(event: Event, *, as_json: bool) -> str:
    if as_json:
        line = {"id": str(event.id), "kind": event.kind, "data": orjson.Fragment(event.data)}
        return plain_json(line).decode()
    data = orjson.loads(event.data)
    told = ("close", "volume", "state") if event.kind in ("close", "correction") else ("macdv", "signal", "stage", "id")
    facts = "  ".join(f"{name} {_short(name, data[name])}" for name in told if data.get(name) is not None)
    moment = format_utc(data["start"]) if "start" in data else "–"
    return f"{moment}  {event.kind:<10}  {event.product} {event.timeframe}  {facts}"


def _short(name: str, value: object) -> str:
    if isinstance(value, float):
        return plain(value) if name in NUMBERS else f"{value:.2f}"
    return str(value)


def _series(lookup: Lookup, series: Series, newest: deque[str], rows: int) -> RenderableType:
    """The newest `rows` candles, newest first, and below them the events since the start."""
    candles = lookup.candles(series.product, series.timeframe, limit=rows)["candles"]
    values = {v["start"]: v for v in lookup.indicators(series.product, series.timeframe, limit=rows)["series"]}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (str(series), "open", "high", "low", "close", "volume", "MACD-V", "signal", "stage", "state"):
        table.add_column(name, justify="left" if name in (str(series), "stage", "state") else "right")
    for candle in reversed(candles):
        table.add_row(*_row(candle, values.get(candle["start"])), style=_style(candle))
    return Group(table, Text(), *(Text(line, "dim") for line in reversed(newest)))


def _row(candle: CandleRow, value: IndicatorRow | None) -> list[str]:
    prices = [plain(candle[name]) for name in NUMBERS]
    numbers = [value["macdv"], value.get("signal")] if value else [None, None]
    macdv = ["–" if number is None else f"{number:.2f}" for number in numbers]
    state = candle["state"] if candle["trades"] else f"{candle['state']}, no trades"
    return [format_utc(candle["start"]), *prices, *macdv, (value and value["stage"]) or "", state]


def _style(candle: CandleRow) -> str:
    if not candle["trades"]:
        return "dim"
    return "green" if candle["close"] >= candle["open"] else "red"
