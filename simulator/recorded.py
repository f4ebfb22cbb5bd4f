"""Reads the candles of a file that `doctor --record` wrote: JSON lines, compressed with gzip.

Used are the updates of the `candles` channel and REST's 5m candles, not the snapshots, which have gaps. A candle's
volume only grows, so of all rows about a bucket the one with the most volume is its last. Buckets that were not over at
the end of the recording are left out.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import orjson

from app.errors import InvalidInput

STEP_S = 300
_FIELDS = ("start", "open", "high", "low", "close", "volume")

Row = tuple[Decimal, ...]
"""start, open, high, low, close, volume"""


def read_recording(path: Path) -> dict[str, list[Row]]:
    """The candles of each product in `path`, oldest first. Raises `InvalidInput` if it is not a recording."""
    found: dict[str, dict[int, Row]] = {}
    newest_s = 0.0
    for line, entry in _entries(path):
        try:
            for product, row in _rows(entry):
                known = found.setdefault(product, {}).get(int(row[0]))
                if known is None or row[5] >= known[5]:
                    found[product][int(row[0])] = row
            newest_s = max(newest_s, _time_s(entry))
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            raise InvalidInput(f"{path}:{line}: not an entry of a recording: {error!r}") from None
    over = {
        product: [rows[start_s] for start_s in sorted(rows) if start_s + STEP_S <= newest_s and rows[start_s][5]]
        for product, rows in found.items()
    }
    return {product: rows for product, rows in over.items() if rows}


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line. A recording that ends in the middle of one is used up to there."""
    try:
        with gzip.open(path) as file:
            for line, data in enumerate(file, start=1):
                entry = orjson.loads(data)
                if line == 1 and not (isinstance(entry, dict) and entry.get("kind") == "recording"):
                    raise InvalidInput(f"{path}: not a recording of `doctor --record`")
                yield line, entry
    except EOFError:
        return
    except (OSError, zlib.error, orjson.JSONDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from error


def _rows(entry: dict[str, Any]) -> Iterator[tuple[str, Row]]:
    match entry["kind"]:
        case "frame":
            yield from _streamed(entry["data"])
        case "response" if entry["params"].get("granularity") == "FIVE_MINUTE" and entry["status"] == 200:
            product = entry["path"].split("/")[-2]
            yield from _readable(_json(entry["text"]).get("candles"), product)


def _streamed(data: str) -> Iterator[tuple[str, Row]]:
    frame = _json(data)
    if frame.get("channel") == "candles":
        for event in frame["events"]:
            if isinstance(event, dict) and event.get("type") == "update":
                yield from _readable(event.get("candles"))


def _json(text: str) -> dict[str, Any]:
    """The object in `text`; an empty one if there is none: a recording holds what came, readable or not."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _readable(rows: object, product: str = "") -> Iterator[tuple[str, Row]]:
    """The valid ones of `rows`, each with its product: `product`, or the one that it names."""
    for raw in rows if isinstance(rows, list) else ():
        with suppress(KeyError, TypeError, ValueError, InvalidOperation):
            start, opening, high, low, close, volume = row = tuple(Decimal(raw[name]) for name in _FIELDS)
            is_valid = 0 < low <= min(opening, close) <= max(opening, close) <= high and volume >= 0
            if is_valid and volume.is_finite() and high.is_finite() and not start % STEP_S:
                yield product or raw["product_id"], row


def _time_s(entry: dict[str, Any]) -> float:
    """The exchange's time in a frame (UNIX seconds); 0 if it has none."""
    text = _json(entry["data"]).get("timestamp") if entry["kind"] == "frame" else None
    return datetime.fromisoformat(text).timestamp() if isinstance(text, str) else 0.0
