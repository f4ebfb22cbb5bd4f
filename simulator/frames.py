"""Frames in the exchange's format: text from values, nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

import orjson

from simulator.market import Product, Trades

CandleValues = tuple[int, int, int, int, int, int]
"""start_s, open, high, low, close, volume, in the product's units."""


def rfc3339_nano(time_ns: int) -> str:
    """RFC 3339 with up to nine digits and no trailing zeros, as Go's RFC3339Nano."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}{_fraction(nanos, 9)}Z"


def go_string(time_ns: int, uptime_ns: int) -> str:
    """The output of Go's `time.String()`, with its monotonic reading."""
    seconds, nanos = divmod(time_ns, 1_000_000_000)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    up_s, up_nanos = divmod(uptime_ns, 1_000_000_000)
    return f"{stamp}{_fraction(nanos, 9)} +0000 UTC m=+{up_s}.{up_nanos:09d}"


def trade_time(time_ms: int) -> str:
    """A trade's time: microseconds in the protocol, milliseconds here, no trailing zeros."""
    return rfc3339_nano(time_ms * 1_000_000)


def _fraction(value: int, digits: int) -> str:
    return f".{value:0{digits}d}".rstrip("0") if value else ""


def envelope(channel: str, timestamp: str, sequence: int, events: str, *, client_id: bool = False) -> str:
    """A data frame."""
    client = '"client_id":"",' if client_id else ""
    return f'{{"channel":"{channel}",{client}"timestamp":"{timestamp}","sequence_num":{sequence},"events":{events}}}'


def error(message: str) -> str:
    """An error frame: no channel, no sequence number."""
    return f'{{"type":"error","message":"{message}"}}'


def candle(product: Product, values: CandleValues) -> str:
    start_s, opening, high, low, close, volume = values
    p = product.price
    return (
        f'{{"start":"{start_s}","high":"{p(high)}","low":"{p(low)}","open":"{p(opening)}","close":"{p(close)}",'
        f'"volume":"{product.size(volume)}","product_id":"{product.name}"}}'
    )


def candles(kind: str, product: Product, rows: Iterable[CandleValues]) -> str:
    """The events of a candles frame; `kind` is snapshot or update."""
    return f'[{{"type":"{kind}","candles":[{",".join(candle(product, row) for row in rows)}]}}]'


def subscriptions(channels: Mapping[str, Iterable[str]]) -> str:
    named = {name: list(products) for name, products in channels.items() if products}
    return orjson.dumps([{"subscriptions": named}]).decode()


def heartbeat(time_ns: int, counter: int, uptime_ns: int, *, text: bool) -> str:
    number = f'"{counter}"' if text else str(counter)
    return f'[{{"current_time":"{go_string(time_ns, uptime_ns)}","heartbeat_counter":{number}}}]'


def trade_rows(product: Product, trades: Trades, name: str | None = None) -> list[dict[str, str]]:
    """Trades in the exchange's format: newest first, the maker's side. `name`: an alias to use in the rows."""
    columns = (trades.time_ms, trades.price, trades.size, trades.trade_id, trades.sell)
    rows = zip(*(column[::-1].tolist() for column in columns), strict=True)
    return [
        {
            "product_id": name or product.name,
            "trade_id": str(trade_id),
            "price": product.price(price),
            "size": product.size(size),
            "time": trade_time(time_ms),
            "side": "SELL" if sell else "BUY",
        }
        for time_ms, price, size, trade_id, sell in rows
    ]


def events(kind: str, member: str, rows: Sequence[Mapping[str, object]], **more: object) -> str:
    """The events of a frame: one event, with its rows under `member`."""
    return orjson.dumps([{"type": kind, **more, member: rows}]).decode()
