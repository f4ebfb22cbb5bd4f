"""Writes the closed candles of one series to a file or to stdout, for other programs."""

from __future__ import annotations

import csv
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from app.errors import InvalidInput, Unready
from app.market.candles import LABELS
from app.market.records import RECORD, Records, has_trades, over, state_of
from app.market.series import Series
from app.query.lookup import MAX_CANDLES, Lookup
from app.util.numbers import plain
from app.wire.candles import NUMBERS

COLUMNS = ("start", "time", "open", "high", "low", "close", "volume", "trades", "state")


def export(lookup: Lookup, series: Series, arguments: Namespace) -> int:
    """Write the candles kept from `--start` to `--end` in `--format`; returns their number.

    A forming candle is left out: it still changes.
    Raises `InvalidInput` if the file cannot be written, `Unready` if there is no candle.
    """
    write = FORMATS[arguments.format]
    records = _closed(lookup, series, arguments.start, arguments.end)
    if not len(records):
        raise Unready(f"{series}: no closed candle is kept in that range")
    with _destination(arguments.output, arguments.format) as file:
        write(records, file)
    return len(records)


def _closed(lookup: Lookup, series: Series, start_s: int | None, end_s: int | None) -> Records:
    """All closed candles in the range, page by page."""
    pages, start_s = [], start_s or 0
    while True:
        answer = lookup.candles(
            series.product, series.timeframe, start_s=start_s, end_s=end_s, limit=MAX_CANDLES, rows=lambda r: r
        )
        page = cast(Records, answer["candles"])  # as `rows` left them
        pages.append(over(page))
        if len(page) < MAX_CANDLES:
            return np.concatenate(pages).astype(RECORD, copy=False)
        start_s = int(page["start_s"][-1]) + series.timeframe.seconds


def _columns(records: Records) -> dict[str, list[Any]]:
    starts = records["start_s"].astype("datetime64[s]")
    values: dict[str, list[Any]] = {name: records[name].tolist() for name in NUMBERS}
    return {
        "start": records["start_s"].tolist(),
        "time": [f"{text}Z" for text in np.datetime_as_string(starts)],
        **values,
        "trades": has_trades(records).tolist(),
        "state": [LABELS[s] for s in state_of(records).tolist()],
    }


def _csv(records: Records, file: IO[bytes]) -> None:
    """A header, then one line per candle; numbers in full, so that they are read back exactly."""
    text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    columns = _columns(records)
    columns |= {name: [plain(value) for value in columns[name]] for name in NUMBERS}
    columns["trades"] = [str(traded).lower() for traded in columns["trades"]]
    writer.writerows(zip(*columns.values(), strict=True))
    text.detach()


def _parquet(records: Records, file: IO[bytes]) -> None:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidInput(
            "--format parquet needs the package pyarrow (50 MB, not installed by default): "
            "pip install pyarrow==26.0.1, or use csv"
        ) from None
    columns: dict[str, Any] = _columns(records)
    columns["time"] = pyarrow.array(records["start_s"].astype("datetime64[s]"), pyarrow.timestamp("s", tz="UTC"))
    columns["state"] = pyarrow.array(columns["state"]).dictionary_encode()
    parquet.write_table(pyarrow.table(columns), file)


FORMATS: dict[str, Callable[[Records, IO[bytes]], None]] = {"csv": _csv, "parquet": _parquet}


@contextmanager
def _destination(path: Path | None, form: str) -> Iterator[IO[bytes]]:
    """Stdout, or a file that appears under its name only when complete."""
    if path is None:
        if form == "parquet" and sys.stdout.isatty():
            raise InvalidInput("a terminal cannot show Parquet: name a file with --output")
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.replace(path)
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)
