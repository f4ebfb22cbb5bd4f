"""The programs in examples/, each against one running installation; results are judged from outside."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from app.indicators.window import WINDOW
from app.market.timeframes import Timeframe
from tests.exchange import Bar
from tests.faults.world import FLOW, World, world
from tests.macdv_reference import Column, reference_macdv
from tests.oracle import expected
from tests.support import ROOT, Process, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=2)]

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
M5, H1 = Timeframe.M5, Timeframe.H1
PRODUCTS = 4
SECRET = "a-secret-of-the-test"
RULES = """
[[alerts.rule]]
name = "stages"
kind = "stage"

[alerts.channel.hook]
kind = "webhook"
url_env = "HOOK"
secret_env = "HOOK_SECRET"
allow_private = true
"""

Start = Callable[..., Process]


@pytest.fixture(scope="module")
def hook_port() -> int:
    """Port of the webhook's receiver."""
    return free_port()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, hook_port: int) -> Iterator[World]:
    """One for all examples."""
    folder = tmp_path_factory.mktemp("installation")
    (folder / "rules.toml").write_text(RULES)
    env = {
        "CANDLEWICK_CONFIG": str(folder / "rules.toml"),
        "CANDLEWICK_TIMEFRAMES": "5m,15m,1h",
        "HOOK": f"http://127.0.0.1:{hook_port}/",
        "HOOK_SECRET": SECRET,
    }
    with world(folder, PRODUCTS, 7, *FLOW, "web", speed=180, **env) as everything:
        eventually(lambda: everything.system.has_started(PRODUCTS), interval=0.2)
        yield everything


@pytest.fixture
def url(installation: World) -> str:
    return f"http://127.0.0.1:{installation.system.env['CANDLEWICK_WEB_PORT']}"


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Start]:
    """Starts a program of examples/ as a reader does who installed the package: another folder, `candlewick` there."""
    (tmp_path / "candlewick").symlink_to(ROOT / "client")
    started: list[Process] = []

    def start(name: str, *arguments: str, **env: str) -> Process:
        log = tmp_path / f"{name}-{len(started)}.log"
        command = [sys.executable, str(ROOT / "examples" / f"{name}.py"), *arguments]
        started.append(Process(command, log, env={"PYTHONPATH": str(tmp_path), **env}, cwd=tmp_path))
        return started[-1]

    yield start
    for process in started:
        process.end()


def lines(process: Process, count: int = 1) -> list[list[str]]:
    """The words of each line that it printed, at least `count`; it must still run."""

    def enough() -> list[list[str]]:
        assert process.returncode is None, process.output()
        rows = [line.split() for line in process.output().splitlines(keepends=True) if line.endswith("\n")]
        assert len(rows) >= count, rows
        return rows

    return eventually(enough, interval=0.1)


def bars_until(installation: World, product: str, timeframe: Timeframe, last_s: int, count: int) -> dict[int, Bar]:
    """The true bars up to `last_s`, `count` of them."""
    first_s = last_s - (count - 1) * timeframe.seconds
    truth = installation.exchange.truth(product, timeframe, first_s - 100 * timeframe.seconds, last_s)
    bars = expected(truth, min(truth), last_s, timeframe.seconds)
    return {start: bar for start, bar in bars.items() if start >= first_s}


def true_macdv(bars: dict[int, Bar]) -> dict[int, dict[str, float | None]]:
    """MACD-V by an independent computation, by start."""
    rows = list(bars.values())
    columns: dict[str, Column] = reference_macdv(*zip(*((b.high, b.low, b.close, b.trades) for b in rows), strict=True))
    return {start: {name: column[i] for name, column in columns.items()} for i, start in enumerate(bars)}


def busiest(installation: World) -> list[str]:
    listing = [row for row in installation.exchange.listing() if row["status"] == "online" and not row["alias"]]
    rows = sorted(listing, key=lambda row: -float(row["approximate_quote_24h_volume"] or 0))
    return [row["product_id"] for row in rows if row["product_id"].endswith("-USD")]


def test_there_are_five_examples_of_at_most_40_lines_each() -> None:
    assert [path.stem for path in EXAMPLES] == ["bot", "data_frame", "grafana", "strategy", "webhook"]
    assert all(len(path.read_text(encoding="utf-8").splitlines()) <= 40 for path in EXAMPLES)


def test_the_bot_acts_once_on_every_bar_although_it_is_killed_in_between(
    installation: World, url: str, example: Start, tmp_path: Path
) -> None:
    product = busiest(installation)[0]
    arguments = ("bot", url, product, "5m", str(tmp_path / "bot.json"))
    first = example(*arguments)
    before = lines(first, 3)
    first.send(signal.SIGKILL)
    first.wait()
    before = [line.split() for line in first.output().splitlines()]
    installation.system.wait_until(installation.exchange.now_s() + 900)  # bars that close while it is down
    after = lines(example(*arguments), 6)
    acted = before + after[1:] if before[-1][0] == after[0][0] else before + after  # the bar in which it was killed
    starts = [int(start) for start, _, _ in acted]
    assert starts == list(range(starts[0], starts[-1] + 1, 300))
    values = true_macdv(bars_until(installation, product, M5, starts[-1], WINDOW))
    signs = {start: (row["histogram"] or 0) >= 0 for start, row in values.items()}
    for start, macdv, order in acted:
        true, is_up = values[int(start)]["macdv"], signs[int(start)]
        assert float(macdv) == pytest.approx(true, abs=1e-4)
        assert order == ("hold" if is_up == signs[int(start) - 300] else "buy" if is_up else "sell")


def test_the_data_frame_has_the_true_candles_and_no_hour_before_its_end(
    installation: World, url: str, example: Start, tmp_path: Path
) -> None:
    product = busiest(installation)[1]
    made = example("data_frame", url, product, "out.csv")
    assert made.wait() == 0, made.output()
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    newest = int(rows[-1]["start"])
    bars = bars_until(installation, product, M5, newest, WINDOW)
    assert len(rows) >= WINDOW - 2
    for row in rows:
        bar = bars[int(row["start"])]
        assert [float(row[name]) for name in ("open", "high", "low", "close")] == list(bar[:4])
        assert float(row["volume"]) == pytest.approx(bar.volume)
    values, hourly = true_macdv(bars), true_macdv(bars_until(installation, product, H1, newest // 3600 * 3600, WINDOW))
    for row in rows[-100:-1]:
        start, hour = int(row["start"]), int(float(row["start_1h"]))
        assert float(row["macdv"]) == pytest.approx(values[start]["macdv"], abs=1e-3)
        assert hour == (start + 300) // 3600 * 3600 - 3600, "the newest hour that was over at the bar's end"
        assert float(row["macdv_1h"]) == pytest.approx(hourly[hour]["macdv"], abs=1e-3)


def signed(secret: str, body: bytes, sent_s: int, identity: str = "x|raised") -> dict[str, str]:
    """Headers of a request as docs/alerts.md describes them."""
    digest = hmac.new(secret.encode(), b"%d.%s" % (sent_s, body), hashlib.sha256).hexdigest()
    names = {"Timestamp": str(sent_s), "Signature": f"sha256={digest}"}
    return {"Idempotency-Key": identity, **{f"X-Candlewick-{name}": value for name, value in names.items()}}


def test_the_webhook_receives_every_alert_once_and_refuses_what_is_not_signed(
    installation: World, example: Start, hook_port: int
) -> None:
    receiver = example("webhook", str(hook_port), HOOK_SECRET=SECRET)
    url, body, now_s = f"http://127.0.0.1:{hook_port}/", b'{"title":"made up"}', int(time.time())

    def post(headers: dict[str, str], data: bytes = body) -> int:
        return requests.post(url, data=data, headers=headers, timeout=60).status_code

    assert eventually(lambda: post(signed("another secret", body, now_s))) == 401
    assert post({}) == post(signed(SECRET, body, now_s - 3600)) == post(signed(SECRET, body, now_s), b"{}") == 401
    assert post(signed(SECRET, body, now_s)) == post(signed(SECRET, body, now_s)) == 204

    def delivered() -> list[str]:
        stored, _ = installation.system.context.alerts.newest(1_000, lambda _: True)
        printed = [json.loads(" ".join(words)) for words in lines(receiver, 4) if words[0] == '{"id":']
        received = [row["id"] for row in printed]
        assert received[0] == "x|raised"
        assert received.count("x|raised") == 1
        assert {alert.id for alert in stored} <= {identity.removesuffix("|raised") for identity in received}
        return received

    received = eventually(delivered, interval=0.2)
    assert len(received) == len(set(received)) >= 3


def test_grafana_reads_the_true_indicator_by_each_panel(installation: World, url: str, example: Start) -> None:
    made = example("grafana", url, "5m")
    assert made.wait() == 0, made.output()
    board = json.loads(made.output())
    assert sorted(panel["title"] for panel in board["panels"]) == sorted(
        f"MACD-V {product} 5m" for product in installation.system.context.products.delivered()
    )
    for panel in board["panels"]:
        (query,) = panel["targets"]
        answer = requests.get(query["url"], timeout=60).json()
        rows = [[row[column["selector"]] for column in query["columns"]] for row in answer[query["root_selector"]][-5:]]
        product = panel["title"].split()[1]
        values = true_macdv(bars_until(installation, product, M5, rows[-1][0], WINDOW))
        for start, macdv, smooth in rows:
            assert macdv == pytest.approx(values[start]["macdv"], abs=1e-3)
            assert smooth == pytest.approx(values[start]["signal"], abs=1e-3)


def test_the_strategy_trades_as_the_true_closes_say(installation: World, url: str, example: Start) -> None:
    products = busiest(installation)[:PRODUCTS]
    running = {product: example("strategy", url, product, "5m") for product in products}
    eventually(lambda: sum(len(lines(p, 0)) for p in running.values()) >= 4, interval=0.2)
    for product, process in running.items():
        trades = lines(process, 0)
        if not trades:
            continue
        bars = bars_until(installation, product, M5, int(trades[-1][0]), WINDOW)
        closes = {start: bar.close for start, bar in bars.items()}
        starts, earned, paid = list(closes), 0.0, 0.0
        for number, (start, side, price, total) in enumerate(trades):
            window = [closes[s] for s in starts if s <= int(start)][-30:]
            assert side == ("sell" if number % 2 else "buy")
            assert (sum(window[-10:]) / 10 > sum(window) / 30) == (side == "buy")
            assert float(price) == closes[int(start)]
            earned, paid = (earned + float(price) - paid, paid) if number % 2 else (earned, float(price))
            assert float(total) == pytest.approx(earned, abs=1e-7)
        for (start, side, *_), (end, *_) in pairwise(trades):
            for between in range(int(start) + 300, int(end), 300):
                window = [closes[s] for s in starts if s <= between][-30:]
                assert (sum(window[-10:]) / 10 > sum(window) / 30) == (side == "buy"), "no trade was missed"
