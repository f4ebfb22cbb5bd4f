"""A market replayed from files of real 5-minute candles, or from a recording of `doctor`.

Each candle becomes five trades, one a minute, that aggregate to exactly this candle. A bucket that the file leaves out,
or that has no volume, has no trades.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeAlias

import numpy as np

from app.errors import InvalidInput
from simulator import noise
from simulator.market import CANDLE, Candles, Product, Trades
from simulator.recorded import read_recording

COLUMNS = ["start", "open", "high", "low", "close", "volume"]
PER_CANDLE = 5
_FILE = re.compile(r"([A-Z0-9.]+-[A-Z0-9]+)-5m\.csv(\.gz)?")
_STEP_S = 300
_MAX_DECIMALS = 15
_MAX_UNITS = 2**53


class ReplayMarket:
    """A `Market` of the candles in `source`: a recording, or a folder of files named like `ETH-BTC-5m.csv.gz`.

    Raises `InvalidInput` with file and line if one is invalid.
    """

    def __init__(self, source: str | Path) -> None:
        source = Path(source)
        self._trades: dict[str, Trades] = {}
        self._products: dict[str, Product] = {}
        for name, where, rows in _recorded(source) if source.is_file() else _files(source):
            if name in self._products:
                raise InvalidInput(f"{where}: {name} was already read from another file")
            candles, price_decimals, size_decimals = _in_units(where, rows)
            self._trades[name] = _expand(candles, noise.key_of(0, name))
            self._products[name] = Product(
                name, price_decimals, size_decimals, aliases=(f"{name}C",) if name.endswith("-USD") else ()
            )

    @property
    def products(self) -> Mapping[str, Product]:
        return self._products

    def trades(self, product: str, start_ms: int, end_ms: int) -> Trades:
        """Trades of `product` with ``start_ms <= time < end_ms``."""
        return self._trades[product].between(start_ms, end_ms)

    @property
    def span_s(self) -> tuple[int, int]:
        """Time of the first and the last trade (UNIX seconds)."""
        times = [t.time_ms for t in self._trades.values()]
        return min(int(t[0]) for t in times) // 1000, max(int(t[-1]) for t in times) // 1000


Rows: TypeAlias = Sequence[tuple[int, tuple[Decimal, ...]]]
"""Line (0: unknown) and values of each candle with volume."""


def _recorded(path: Path) -> Iterator[tuple[str, str, Rows]]:
    """Product, file and candles of each product of a recording."""
    found = read_recording(path)
    if not found:
        raise InvalidInput(f"{path}: no candle of a bucket that was over")
    for name, rows in found.items():
        if name.endswith("-USDC") and name[:-1] in found:
            continue  # an alias of a product that is there
        yield name, str(path), [(0, row) for row in rows]


def _files(folder: Path) -> Iterator[tuple[str, str, Rows]]:
    """The same of each file in `folder`."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder}: no such folder; expected one with files like ETH-BTC-5m.csv.gz, or a recording")
    files = [(match[1], path) for path in sorted(folder.iterdir()) if (match := _FILE.fullmatch(path.name))]
    if not files:
        raise InvalidInput(f"{folder}: no file named like ETH-BTC-5m.csv or ETH-BTC-5m.csv.gz")
    for name, path in files:
        yield name, str(path), list(_rows(path))


def _expand(candles: Candles, key: int) -> Trades:
    """Trades at open, one extreme, the middle, the other extreme, close. A rising candle has its low first."""
    rising = candles["close"] >= candles["open"]
    first = np.where(rising, candles["low"], candles["high"])
    second = np.where(rising, candles["high"], candles["low"])
    middle = (candles["low"] + candles["high"]) // 2
    price = np.stack([candles["open"], first, middle, second, candles["close"]], axis=1).ravel()
    part = candles["volume"] // PER_CANDLE
    size = np.repeat(part, PER_CANDLE).reshape(-1, PER_CANDLE)
    size[:, 2] += candles["volume"] - part * PER_CANDLE
    trade_id = np.arange(len(price), dtype=np.int64) + 1
    drawn = noise.hashed(key, trade_id)
    minute_ms = np.repeat(candles["start_s"] * 1000, PER_CANDLE) + np.tile(np.arange(PER_CANDLE) * 60_000, len(candles))
    time_ms = minute_ms + (drawn % np.uint64(60_000)).astype(np.int64)
    return Trades(time_ms, price, size.ravel(), trade_id, drawn >> np.uint64(63) == 1)


def _in_units(path: str, rows: Rows) -> tuple[Candles, int, int]:
    """The candles in `rows`, the decimals of their prices, and the decimals of their sizes."""
    if not rows:
        raise InvalidInput(f"{path}: no candle with volume")
    for (line, row), (_, before) in zip(rows[1:], rows, strict=False):
        if row[0] <= before[0]:
            raise InvalidInput(f"{path}:{line}: start {row[0]} does not come after {before[0]}; sort the file by start")
    price_decimals = max(_decimals(price) for _, row in rows for price in row[1:5])
    # One more than in the file, so that even the smallest volume can be split over the trades.
    size_decimals = max(_decimals(row[5]) for _, row in rows) + 1
    if max(price_decimals, size_decimals) > _MAX_DECIMALS:
        raise InvalidInput(f"{path}: more than {_MAX_DECIMALS - 1} decimals in a price or volume")
    scales = (0, *(price_decimals,) * 4, size_decimals)
    candles = np.zeros(len(rows), CANDLE)
    for n, (line, row) in enumerate(rows):
        units = tuple(int(value.scaleb(scale)) for value, scale in zip(row, scales, strict=True))
        if max(units) >= _MAX_UNITS:
            raise InvalidInput(f"{path}:{line}: a number is too large for the decimals of this file")
        candles[n] = units
    return candles, price_decimals, size_decimals


def _rows(path: Path) -> Iterator[tuple[int, tuple[Decimal, ...]]]:
    """Line number and values of each candle with volume."""
    try:
        with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
            reader = csv.reader(file)
            if (header := next(reader, [])) != COLUMNS:
                raise InvalidInput(f"{path}:1: the columns are {','.join(header)!r}, not {','.join(COLUMNS)!r}")
            for line, fields in enumerate(reader, start=2):
                row = _row(f"{path}:{line}", fields)
                if row[5]:
                    yield line, row
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from error


def _row(where: str, fields: list[str]) -> tuple[Decimal, ...]:
    try:
        row = tuple(map(Decimal, fields))
    except InvalidOperation:
        raise InvalidInput(f"{where}: {','.join(fields)!r} has a value that is not a number") from None
    if len(row) != len(COLUMNS) or not all(value.is_finite() for value in row):
        raise InvalidInput(f"{where}: {','.join(fields)!r} is not six finite numbers")
    start, opening, high, low, close, volume = row
    if start <= 0 or start % _STEP_S:
        raise InvalidInput(f"{where}: start {start} is not the start of a 5-minute bucket (UNIX seconds)")
    if not 0 < low <= min(opening, close) <= max(opening, close) <= high:
        raise InvalidInput(f"{where}: prices must be above 0, open and close between low and high")
    if volume < 0:
        raise InvalidInput(f"{where}: volume {volume} is below 0")
    return row


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # finite, which `_row` has checked
    return max(0, -exponent)
