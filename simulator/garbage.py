"""Frames that no client expects."""

from __future__ import annotations

from dataclasses import dataclass

from simulator import frames
from simulator.stream_faults import GarbageKind


@dataclass(frozen=True, slots=True)
class Raw:
    """A frame sent unchanged, without a sequence number."""

    data: bytes
    binary: bool = False


@dataclass(frozen=True, slots=True)
class Numbered:
    """A frame with the next sequence number."""

    channel: str
    events: str


_RAW = {
    "not_json": Raw(b"<html><body>upstream connect error</body></html>"),
    "not_an_object": Raw(b'["candles",42,null]'),
    "wrong_types": Raw(b'{"channel":7,"timestamp":[],"sequence_num":"one","events":{"type":"update"}}'),
    "deep_nesting": Raw(b"[" * 100_000 + b"]" * 100_000),
    "huge_number": Raw(
        b'{"channel":"candles","timestamp":"2021-01-01T00:00:00Z","sequence_num":' + b"9" * 5_000 + b"}"
    ),
    "five_megabytes": Raw(b'{"channel":"unheard_of","filler":"' + b"x" * 5_000_000 + b'"}'),
    "binary": Raw(bytes(range(256)), binary=True),
    "invalid_utf8": Raw(b'{"channel":"candles","events":"\xff\xfe\xc3\x28"}'),
    "error_frame": Raw(frames.error("failure to subscribe").encode()),
}
_NUMBERS = {
    "nan": '"open":"NaN","high":"Infinity","low":"-Infinity","close":"NaN","volume":"1e999"',
    "high_below_low": '"open":"10","high":"9","low":"11","close":"10","volume":"1"',
    "misaligned": '"open":"10","high":"11","low":"9","close":"10","volume":"1"',
    "unknown_product": '"open":"10","high":"11","low":"9","close":"10","volume":"1"',
    "old_snapshot": '"open":"10","high":"11","low":"9","close":"10","volume":"1"',
}
_OLD_S = 30 * 86_400


def garbage(kind: GarbageKind, product: str, now_ms: int) -> Raw | Numbered:
    """A frame of `kind`, about `product` if it names one."""
    if kind in _RAW:
        return _RAW[kind]
    if kind == "unknown_channel":
        return Numbered("futures_weather", '[{"type":"update","forecast":[{"product_id":"BTC-USD"}]}]')
    start_s = now_ms // 300_000 * 300
    if kind == "misaligned":
        start_s += 7
    if kind == "old_snapshot":
        start_s -= _OLD_S
    name = "NOSUCH-USD" if kind == "unknown_product" else product
    event = "snapshot" if kind == "old_snapshot" else "update"
    candle = f'{{"start":"{start_s}",{_NUMBERS[kind]},"product_id":"{name}"}}'
    return Numbered("candles", f'[{{"type":"{event}","candles":[{candle}]}}]')
