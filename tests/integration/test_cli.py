"""Every command: its output and exit code."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

import pytest
import redis

from app.cli import backfill, main
from app.context import Context
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.query.lookup import Lookup
from app.query.status import read_status
from app.storage import keys
from app.storage.candles import SPARE
from app.storage.connection import connect
from app.storage.model import Origin, Write
from app.storage.queue import BackfillRequest, Kind
from tests import filled
from tests.support import PATIENCE_S, ROOT, Process, eventually

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.5)]

BTC_5M = Series("coinbase", "BTC-USD", Timeframe.M5)


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Iterator[Context]:
    del redis_client
    with connect(redis_url) as client:
        yield Context(filled.settings(redis_url), client)


@pytest.fixture
def full(context: Context) -> Context:
    filled.fill(context)
    return context


def environment(redis_url: str, **more: str) -> dict[str, str]:
    return {
        "REDIS_URL": redis_url,
        "CANDLEWICK_COINBASE__PRODUCTS": "BTC-USD",
        "CANDLEWICK_TIMEFRAMES": ",".join(filled.TIMEFRAMES),
        **more,
    }


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


def run(context: Context, *arguments: str, **env: str) -> Ended:
    """A command in this process, ten times faster. A test compares it with a separate process."""
    out, err = io.BytesIO(), io.BytesIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        redirect_stdout(io.TextIOWrapper(out, "utf-8", write_through=True)),
        redirect_stderr(io.TextIOWrapper(err, "utf-8", write_through=True)),
    ):
        for name, value in environment(context.settings.redis_url, **env).items():
            patch.setenv(name, value)
        patch.delitem(sys.modules, "celeryconfig", raising=False)  # it may have another URL
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        return Ended(code, out.getvalue().decode(), err.getvalue().decode())


def run_apart(context: Context, *arguments: str, **env: str) -> Ended:
    """A command as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "app", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment(context.settings.redis_url, **env)},
        timeout=PATIENCE_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def as_json(context: Context, *arguments: str, code: int = 0) -> Any:
    done = run(context, *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def refused(context: Context, code: int, *arguments: str, **env: str) -> str:
    """The stderr of a command that ends with `code`."""
    done = run(context, *arguments, **env)
    assert (done.returncode, done.stdout) == (code, "")
    return done.stderr


def test_help_is_quick_and_names_every_command(context: Context) -> None:
    script = (
        "import sys; from app.cli.arguments import parser; print(parser().format_help());"
        "print(sorted({'numpy', 'redis', 'celery', 'fastapi', 'rich', 'kombu'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    from app.cli.commands import COMMANDS
    from app.cli.without_data import WITHOUT_DATA

    assert set(re.findall(r"^  (\w+) ", done.stdout, re.MULTILINE)) == {*COMMANDS, *WITHOUT_DATA}
    assert done.stdout.endswith("[]\n")  # it imported nothing heavy
    assert run_apart(context, "--help").returncode == 0


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("products", 0),
        ("status", 1),
        ("candles BTC-EUR", 1),
        ("candles BTC-USD 7m", 2),
        ("reconcile", 0),
        ("export BTC-USD", 0),
    ],
)
def test_a_process_of_its_own_prints_the_same(context: Context, line: str, code: int) -> None:
    filled.fill(context, late=4)
    ages = re.compile(r"\d+(\.\d)? s ago *|[\d.]+ MB *")  # and the blanks that fill their columns

    def outcome(how: Callable[..., Ended]) -> tuple[int, str, str]:
        filled.publish_feed(context)  # a feed is stale before a busy machine has started a process
        done = how(context, *line.split())
        return done.returncode, ages.sub("", done.stdout), done.stderr

    def same() -> bool:
        apart, here = outcome(run_apart), outcome(run)
        assert (apart, here[0]) == (here, code)
        return True

    eventually(same)


def test_status_prints_the_summary_first(full: Context) -> None:
    done = run(full, "status")
    first, *rest = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert first == "All 3 products complete and current (1 product is refused by the exchange)"
    assert any("2021-03-04 07:02:10 UTC" in line for line in rest)


def test_status_as_json_is_that_of_the_api(full: Context) -> None:
    state, here = as_json(full, "status"), read_status(full, full.settings).model_dump(mode="json")
    volatile = ("feed", "redis")  # ages and bytes change
    assert {k: v for k, v in state.items() if k not in volatile} == {k: v for k, v in here.items() if k not in volatile}
    assert state.keys() == here.keys()


def test_status_of_an_empty_installation_ends_with_1(context: Context) -> None:
    done = run(context, "status")
    assert done.returncode == 1
    assert done.stdout.startswith("Not ready: no products are followed yet")
    assert as_json(context, "status", code=1)["ready"] is False


def test_status_names_the_series_with_problems(context: Context) -> None:
    filled.fill(context, late=4)
    done = run(context, "status")
    assert done.returncode == 1
    assert re.search(r"^SOL-USD 1h +500 +2021-03-04 02:00:00 +14530 +out of date", done.stdout, re.MULTILINE)


def test_products(full: Context) -> None:
    assert as_json(full, "products") == Lookup(full, full.settings.timeframes).products()
    table = run(full, "products").stdout
    assert re.search(r"^BTC-USDC +BTC-USD +-?\d+\.\d \w+ .* followed", table, re.MULTILINE)
    assert re.search(r"^GONE-USD .*refused: the exchange did not confirm", table, re.MULTILINE)


def test_candles(full: Context) -> None:
    answer = as_json(full, "candles", "btc-usd", "1h", "--limit", "3")
    assert answer == Lookup(full, full.settings.timeframes).candles("BTC-USD", Timeframe.H1, limit=3)
    table = run(full, "candles", "BTC-USD", "--start", str(filled.OPEN_S - 300)).stdout.splitlines()
    assert len(table) == 3
    assert re.match(r"2021-03-04 07:00:00 +100 +103 +99 +101 +2.5 +forming", table[2])


def test_a_closed_pipe_is_not_an_error(full: Context) -> None:
    command = f"{sys.executable} -m app candles BTC-USD --json | head -c 20; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environment(full.settings.redis_url)},
        check=False,
    )
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 20, b"")


def test_indicators(full: Context) -> None:
    answer = as_json(full, "indicators", "BTC-USD", "1h", "--limit", "2")
    assert answer == Lookup(full, full.settings.timeframes).indicators("BTC-USD", Timeframe.H1, limit=2)
    table = run(full, "indicators", "BTC-USD", "1h", "--limit", "2").stdout.splitlines()
    assert len(table) == 3
    assert table[2].split()[-1] == answer["series"][-1]["stage"]


def test_indicators_that_are_not_ready_end_with_1_and_the_reason(context: Context) -> None:
    filled.fill(context, bars=59)
    done = run(context, "indicators", "BTC-USD")
    assert done.returncode == 1
    assert done.stdout.startswith("not ready: ")
    assert "59" in done.stdout


def test_gaps_lists_missing_pending_and_given_up(full: Context) -> None:
    assert run(full, "gaps").stdout == "0 candles missing, 0 requests pending, 0 given up\n"
    sol = Series("coinbase", "SOL-USD", Timeframe.M5)
    missing = filled.OPEN_S - 10 * 300
    records = full.candles.read(sol, 0, filled.OPEN_S).records
    full.redis.delete(keys.candles(sol))
    full.candles.write([Write(sol, records[records["start_s"] != missing], Origin.given(int(records["start_s"][0])))])
    failed = BackfillRequest(Kind.GAP, "BTC-USDC", Timeframe.H1)
    full.queue.fail(failed, "404 unknown product", filled.NOW_S * 1000)
    assert run(full, "reconcile").returncode == 0
    answer = as_json(full, "gaps")
    assert answer["missing"] == [{"product": "SOL-USD", "timeframe": "5m", "buckets": 1}]
    assert len(answer["pending"]) == 6
    assert [(f["product"], f["reason"]) for f in answer["failures"]] == [("BTC-USDC", "404 unknown product")]
    assert run(full, "gaps").stdout.startswith("1 candles missing, 6 requests pending, 1 given up\n")


def test_reconcile_queues_the_newest_page_of_every_series(full: Context) -> None:
    done = run(full, "reconcile", "now")
    assert (done.returncode, done.stdout.split(";")[0]) == (0, "6 requests queued")
    assert {r.kind for r in full.queue.pending()} == {Kind.RECONCILE}
    assert full.redis.llen("cw:2:celery:backfill") == 1


def test_without_a_clock_there_is_nothing_to_reconcile(context: Context) -> None:
    assert "no exchange time received" in refused(context, 1, "reconcile")


@pytest.mark.parametrize(
    ("code", "line", "reason"),
    [
        (1, "candles BTC-EUR", "error: BTC-EUR is not followed here; did you mean BTC-USD?"),
        (1, "candles BTC-USD 30m", "error: timeframe 30m is not kept here: use one of 5m, 1h"),
        (1, "backfill GONE-USD --days 3", "error: GONE-USD is not delivered by the exchange"),
        (2, "candles BTC-USD --start 301", "error: start is 301, which is not the start of a 5m bucket"),
        (2, "indicators BTC-USD --limit 501", "error: limit is 501; it must be 1 to 500"),
        (2, "backfill BTC-USD --days 9999", "error: --days 9999 of 5m are 2879711 candles; at most 694 days are kept"),
        (2, "backfill BTC-USD --days nan", "error: argument --days: invalid number of days 'nan': must be above 0"),
        (2, "backfill BTC-USD --days=-1", "error: argument --days: invalid number of days '-1': must be above 0"),
        (2, "candles BTC-USD 7m", "error: argument TIMEFRAME: unknown timeframe '7m'"),
    ],
)
def test_an_error_is_one_line_on_stderr(full: Context, code: int, line: str, reason: str) -> None:
    message = refused(full, code, *line.split())
    assert message.count("\n") == 1
    assert message.startswith(reason)


def test_wrong_settings_end_with_2(context: Context) -> None:
    done = run_apart(context, "status", CANDLEWICK_WEB_PORT="http", CANDLEWICK_COINBASE__REST_REQUESTS_PER_SECOND="99")
    assert (done.returncode, done.stdout) == (2, "")
    assert "CANDLEWICK_WEB_PORT" in done.stderr
    assert "CANDLEWICK_COINBASE__REST_REQUESTS_PER_SECOND" in done.stderr


NOWHERE = "redis://:secret@127.0.0.1:1/0"


def test_a_process_without_redis_ends_with_3(context: Context) -> None:
    done = run_apart(context, "status", REDIS_URL=NOWHERE)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)


@pytest.mark.parametrize(
    "line", ["status", "products", "candles BTC-USD", "gaps", "reconcile", "backfill BTC-USD --days 3"]
)
def test_a_redis_that_cannot_be_reached_ends_with_3(context: Context, line: str) -> None:
    message = refused(context, 3, *line.split(), REDIS_URL=NOWHERE)
    assert message.count("\n") == 1
    assert "Redis cannot be reached" in message
    assert "secret" not in message


# Backfill


def test_backfill_waits_until_everything_has_arrived(full: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """This test writes the candles page by page, as a backfill worker would."""
    first = filled.OPEN_S - 5 * 288 * 300
    missing = filled.walk(filled.OPEN_S - 601 * 300, 5 * 288 - 600, 300)
    known, left = backfill._left, list[int]()
    monkeypatch.setattr(backfill, "_left", lambda *seen: left.append(known(*seen)) or left[-1])

    def work() -> None:
        eventually(lambda: full.queue.pending())
        full.candles.write([Write(BTC_5M, missing[100:])])
        eventually(lambda: left[-1] == 100)
        full.candles.write([Write(BTC_5M, missing[:100])])

    worker = threading.Thread(target=work)
    worker.start()
    done = run(full, "backfill", "BTC-USD", "--days", "5")
    worker.join()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "BTC-USD 5m: complete for the last 5 days\n"
    held = full.candles.read(BTC_5M, first, filled.OPEN_S - 300).over["start_s"]
    assert held.tolist() == list(range(first, filled.OPEN_S, 300))
    assert full.queue.pending() == {BackfillRequest(Kind.GAP, "BTC-USD", Timeframe.M5)}


def test_backfill_completes_although_the_ring_moved_on(full: Context) -> None:
    """In a fast market the oldest buckets may leave the ring before a worker requests them."""
    first, closed, gone = filled.OPEN_S - 5 * 288 * 300, SPARE + 60, 50

    def work() -> None:
        eventually(lambda: full.queue.pending())
        full.candles.write([Write(BTC_5M, filled.walk(filled.OPEN_S + (closed - 1) * 300, closed, 300))])
        full.clock.set((filled.NOW_S + closed * 300) * 1000)
        full.candles.write([Write(BTC_5M, filled.walk(filled.OPEN_S - 601 * 300, 5 * 288 - 600 - gone, 300))])

    worker = threading.Thread(target=work)
    worker.start()
    done = run(full, "backfill", "BTC-USD", "--days", "5")
    worker.join()
    assert (done.returncode, done.stdout) == (0, "BTC-USD 5m: complete for the last 5 days\n"), done.stderr
    assert full.candles.read_whole(BTC_5M, filled.OPEN_S + (closed - 1) * 300).from_s > first


def test_backfill_reports_why_it_cannot(full: Context, processes: Callable[..., Process]) -> None:
    process = processes(
        [sys.executable, "-m", "app", "backfill", "BTC-USD", "--days", "5"],
        env=environment(full.settings.redis_url),
    )
    request = BackfillRequest(Kind.GAP, "BTC-USD", Timeframe.M5)
    eventually(lambda: request in full.queue.pending())
    assert full.queue.claim(filled.NOW_S * 1000) == request
    full.queue.fail(request, "the exchange said 404", filled.NOW_S * 1000)
    assert process.wait() == 1
    assert "BTC-USD 5m: given up: the exchange said 404" in process.output()


def test_backfill_without_gaps_ends_at_once(full: Context) -> None:
    done = run(full, "backfill", "BTC-USD", "--days", "1")
    assert (done.returncode, done.stdout) == (0, "BTC-USD 5m: complete for the last 1 days\n")
    assert full.candles.read(BTC_5M, 0, filled.OPEN_S).origin.is_proven, "its ring was long enough already"


# Processes


def test_ingest_runs_until_sigterm(context: Context, processes: Callable[..., Process]) -> None:
    nowhere = {"CANDLEWICK_COINBASE__REST_URL": "http://127.0.0.1:1", "CANDLEWICK_COINBASE__WS_URL": "ws://127.0.0.1:1"}
    process = processes([sys.executable, "-m", "app", "ingest"], env=environment(context.settings.redis_url, **nowhere))
    outcome = "ingest app.ingest.product_selection: products: no listing from http://127.0.0.1:1"
    eventually(lambda: outcome in process.output())
    assert process.stop() == 0
