"""Live output of the command line, on a real terminal and into a pipe, and exports."""

from __future__ import annotations

import csv
import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import redis

from app.context import Context
from app.market.records import EMPTY, Records
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.connection import connect
from app.storage.model import Write
from app.util.numbers import plain
from tests import filled
from tests.integration.test_cli import environment, refused, run
from tests.support import PATIENCE_S, ROOT, Process, eventually

pytestmark = pytest.mark.integration

BTC = Series("coinbase", "BTC-USD", Timeframe.M5)


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Iterator[Context]:
    del redis_client
    with connect(redis_url) as client:
        yield Context(filled.settings(redis_url), client)


@pytest.fixture
def held(context: Context) -> Records:
    """The closed candles of BTC-USD 5m."""
    return filled.fill(context)[BTC]


class Terminal:
    """A process on a terminal of its own, 30 lines of 150 columns; `text` is all its output, without colours."""

    def __init__(self, context: Context, *arguments: str) -> None:
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 150, 0, 0))
        sizes = {"COLUMNS": "", "LINES": ""}  # of the shell that started the tests
        env = {**os.environ, **environment(context.settings.redis_url), "TERM": "xterm-256color", **sizes}
        command = [sys.executable, "-m", "app", *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._written = bytearray()
        self._ours = ours
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._written += os.read(self._ours, 65_536)
            except OSError:  # the other end is closed
                return

    @property
    def text(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._written.decode(errors="replace"))

    def end(self) -> int:
        """Ctrl-C; its exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        os.close(self._ours)
        return code


@contextmanager
def terminal(context: Context, *arguments: str) -> Iterator[Terminal]:
    made = Terminal(context, *arguments)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait()


def close_a_candle(context: Context) -> Records:
    """Close the open bucket."""
    candle = filled.walk(filled.OPEN_S, 1, 300)
    candle["close"] = candle["high"] = 777.25
    context.candles.write([Write(BTC, candle)])
    filled.compute(context, {BTC: candle})
    return candle


def test_a_series_is_watched_on_a_terminal(context: Context, held: Records) -> None:
    with terminal(context, "watch", "btc-usd") as screen:
        eventually(lambda: "forming" in screen.text and plain(held["close"][-1]) in screen.text)
        assert "777.25" not in screen.text
        close_a_candle(context)
        eventually(lambda: re.search(r"777\.25.*confirmed", screen.text))
        eventually(lambda: "indicator   BTC-USD 5m  macdv" in screen.text)
        assert screen.end() == 0


def test_the_status_is_watched_and_an_outage_is_shown(context: Context, held: Records) -> None:
    del held
    with terminal(context, "status", "--watch") as screen:
        eventually(lambda: "All 3 products complete and current" in screen.text)
        context.redis.delete("cw:2:clock:coinbase")
        eventually(lambda: "the exchange's clock has not been received yet" in screen.text)
        assert screen.end() == 0


@pytest.mark.parametrize("as_json", [False, True])
def test_into_a_pipe_each_event_is_a_line(
    context: Context, held: Records, processes: Callable[..., Process], as_json: bool
) -> None:
    del held
    command = [sys.executable, "-m", "app", "watch", "BTC-USD", *(["--json"] if as_json else [])]
    process = processes(command, env=environment(context.settings.redis_url))
    sol = Series("coinbase", "SOL-USD", Timeframe.M5)

    def seen() -> list[str]:
        close_a_candle(context)  # only the first time anything is new; the value is then written again
        context.indicators.write([context.indicators.read_many([BTC])[0]._replace(revision=next(revisions))])  # type: ignore[union-attr]
        context.indicators.write([context.indicators.read_many([sol])[0]._replace(revision=next(revisions))])  # type: ignore[union-attr]
        return process.output().splitlines()

    revisions = iter(range(2**50, 2**50 + 10_000))
    last = eventually(seen, interval=0.2)[-1]
    if as_json:
        event = orjson.loads(last)
        assert (event["kind"], event["data"]["product"], set(event)) == ("indicator", "BTC-USD", {"id", "kind", "data"})
    else:
        assert re.fullmatch(r"2021-03-04 07:0\d:00  indicator   BTC-USD 5m  macdv -?[\d.]+ .*stage \w.*", last)
    assert "SOL" not in process.output()
    process.send(signal.SIGINT)
    assert process.wait() == 0


# Export


def test_csv_has_every_closed_candle_with_all_digits(context: Context, held: Records) -> None:
    done = run(context, "export", "BTC-USD")
    assert (done.returncode, done.stderr) == (0, "BTC-USD 5m: 600 candles\n")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [int(r["start"]) for r in rows] == held["start_s"].tolist()
    for name in ("open", "high", "low", "close", "volume"):
        assert [float(r[name]) for r in rows] == held[name].tolist()
    assert [r["trades"] for r in rows] == ["false" if f & EMPTY else "true" for f in held["flags"].tolist()]
    assert {r["state"] for r in rows} == {"confirmed"}
    assert rows[-1]["time"] == "2021-03-04T06:55:00Z"


def test_a_range_is_exported_whole_or_leaves_no_file(context: Context, held: Records, tmp_path: Path) -> None:
    file = tmp_path / "btc.csv"
    first, last = (str(held["start_s"][i]) for i in (-10, -4))
    assert run(context, "export", "BTC-USD", "--start", first, "--end", last, "--output", str(file)).returncode == 0
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [r["start"] for r in rows] == [str(s) for s in held["start_s"][-10:-3]]
    assert [p.name for p in tmp_path.iterdir()] == ["btc.csv"]
    assert "cannot write" in refused(context, 2, "export", "BTC-USD", "--output", str(tmp_path / "none" / "x.csv"))


def test_parquet_has_the_same_candles(context: Context, held: Records, tmp_path: Path) -> None:
    from pyarrow import parquet  # here, because every process that runs tests would import it

    file = tmp_path / "btc.parquet"
    assert run(context, "export", "BTC-USD", "5m", "--format", "parquet", "--output", str(file)).returncode == 0
    table: Any = parquet.read_table(file)
    assert table["start"].to_pylist() == held["start_s"].tolist()
    for name in ("open", "high", "low", "close", "volume"):
        assert np.array_equal(table[name].to_numpy(), held[name])
    assert str(table.schema.field("time").type) == "timestamp[ms, tz=UTC]"
    assert table["time"][0].as_py().timestamp() == held["start_s"][0]


def test_a_failed_export_is_reported(context: Context, held: Records) -> None:
    del held
    assert "did you mean BTC-USD" in refused(context, 1, "export", "BTC-EUR")
    assert "no closed candle is kept in that range" in refused(context, 1, "export", "BTC-USD", "--end", "600")
    assert "invalid choice: 'json'" in refused(context, 2, "export", "BTC-USD", "--format", "json")
