"""The command `doctor`: its output, exit codes, secrets, recordings."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import certifi
import pytest

from app.market.timeframes import BASE
from simulator import LocalExchange, ReplayMarket, SeededMarket
from simulator.trade_log import TradeLog
from tests.support import PATIENCE_S, ROOT, Process, eventually, free_port
from tests.tls import TlsServer

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=1)]

START_S = 1_614_816_000
MARKET = SeededMarket(7, start_s=START_S)
COMMAND = [sys.executable, "-m", "app", "doctor"]
Start = Callable[..., Process]


@contextmanager
def running(**options: Any) -> Iterator[LocalExchange]:
    with LocalExchange(MARKET, speed=60, start_ms=(START_S + 240) * 1000, **options) as exchange:
        yield exchange


def environment(exchange: LocalExchange | None = None, **more: str) -> dict[str, str]:
    port = free_port() if exchange is None else exchange.port
    return {
        "CANDLEWICK_COINBASE__WS_URL": f"ws://127.0.0.1:{port}",
        "CANDLEWICK_COINBASE__REST_URL": f"http://127.0.0.1:{port}",
        "CANDLEWICK_COINBASE__PRODUCTS": "BTC-USD,ETH-USD,MLN-USD",
        "CANDLEWICK_WEB_PORT": str(free_port()),
        "CANDLEWICK_FLOWER_PORT": str(free_port()),
        "CANDLEWICK_REST_TIMEOUT_SECONDS": "5",
        **more,
    }


def verdicts(findings: list[dict[str, str]]) -> dict[str, str]:
    return {f["name"]: f["verdict"] for f in findings}


def test_a_machine_with_redis_is_described_with_numbers(processes: Start, redis_url: str) -> None:
    with running() as exchange:
        doctor = processes(
            [*COMMAND, "--minutes", "0.5", "--json"], env=environment(exchange, CANDLEWICK_REDIS_URL=redis_url)
        )
        assert doctor.wait() == 1  # this machine's clock is not that of 2021
    report = json.loads(doctor.output())
    machine = {f["name"]: f for f in report["machine"]}
    redis = ["redis-reachable", "redis-suitable", "redis-persistence", "redis-latency", "redis-maxclients"]
    assert list(machine) == [*redis, "proxy", "tls-trust", "port-web", "port-flower"]
    assert {name: f["verdict"] for name, f in machine.items() if name != "tls-trust"} == dict.fromkeys(
        [name for name in machine if name != "tls-trust"], "holds"
    )
    assert "maxmemory-policy noeviction" in machine["redis-suitable"]["seen"]
    [coinbase] = report["exchanges"]
    found = verdicts(coinbase["assumptions"])
    assert found["sequence-dense"] == found["rest-page-limit"] == "holds"
    assert [name for name, verdict in found.items() if verdict == "does not hold"] == ["machine-clock"]
    assert coinbase["products"] == ["BTC-USD", "ETH-USD", "MLN-USD"]
    assert coinbase["unreachable"] is None


def test_an_exchange_that_cannot_be_reached_is_exit_code_2(processes: Start) -> None:
    doctor = processes([*COMMAND, "--minutes", "1"], env=environment())
    assert doctor.wait() == 2
    assert "cannot be reached: /market/products: ConnectionError" in doctor.output()
    assert "Connection refused" in doctor.output()


def test_a_port_of_another_program_and_a_proxy_that_the_stream_cannot_use_are_found(processes: Start) -> None:
    with running() as exchange:
        taken = {
            "CANDLEWICK_WEB_PORT": str(exchange.port),
            "ALL_PROXY": "socks5://me:hunter22@127.0.0.1:1",
            "no_proxy": "",
        }
        doctor = processes([*COMMAND, "--minutes", "0.1", "--json"], env=environment(exchange, **taken))
        assert doctor.wait() == 2  # REST goes through that proxy as well
    machine = {f["name"]: f for f in json.loads(doctor.output())["machine"]}
    assert machine["port-web"]["verdict"] == machine["proxy"]["verdict"] == "does not hold"
    assert "socks5://***@127.0.0.1:1" in machine["proxy"]["seen"]


def test_no_secret_is_in_a_report(processes: Start, tmp_path: Path) -> None:
    with running() as exchange:
        place = f"127.0.0.1:{exchange.port}"
        secret = {
            "CANDLEWICK_COINBASE__WS_URL": f"ws://me:hunter22@{place}/key-4711",
            "CANDLEWICK_COINBASE__REST_URL": f"http://me:hunter22@{place}",
            "CANDLEWICK_REDIS_URL": f"redis://:p%40ssword@127.0.0.1:{free_port()}/0",
            "CANDLEWICK_WEB_TOKEN": "a-token-of-sixteen",
            "CANDLEWICK_FLOWER_BASIC_AUTH": "flora:blossom123",
            "HTTP_PROXY": f"http://me:fort-knox@{place}",
            "NO_PROXY": "127.0.0.1",
        }
        record = tmp_path / "r.gz"
        env = environment(exchange, **secret)
        for form in (["--json", "--record", str(record)], []):
            doctor = processes([*COMMAND, "--minutes", "0.1", *form], env=env)
            assert doctor.wait() == 1
            texts = doctor.output() + str(ReplayMarket(record).products)
            for word in ("hunter22", "key-4711", "p%40ssword", "p@ssword", "sixteen", "blossom", "fort-knox"):
                assert word not in texts
            assert "redis-reachable" in texts
        assert b"hunter22" not in subprocess.run(["gzip", "-dc", record], check=True, capture_output=True).stdout


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_certificate_is_verified_with_the_store_of_the_environment(
    processes: Start, tmp_path: Path, is_trusted: bool
) -> None:
    server = TlsServer(tmp_path, lambda _: b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    try:
        place = f"localhost:{server.port}"
        env = environment(
            CANDLEWICK_COINBASE__WS_URL=f"wss://{place}", CANDLEWICK_COINBASE__REST_URL=f"https://{place}"
        )
        store = {"REQUESTS_CA_BUNDLE": str(server.ca) if is_trusted else certifi.where()}
        doctor = processes([*COMMAND, "--minutes", "1", "--json"], env=env | store)
        assert doctor.wait() == (1 if is_trusted else 2)
    finally:
        server.close()
    [trust] = [f for f in json.loads(doctor.output())["machine"] if f["name"] == "tls-trust"]
    assert trust["verdict"] == ("holds" if is_trusted else "does not hold")
    assert ("was verified" if is_trusted else "certificate verify failed") in trust["seen"]


def test_ctrl_c_reports_what_has_been_seen(processes: Start) -> None:
    with running() as exchange:
        doctor = processes([*COMMAND, "--minutes", "600"], env=environment(exchange))
        eventually(lambda: exchange.connections == 2 and len(exchange.ledger().as_dict(0.0)["requests"]) > 5)
        doctor.send(signal.SIGINT)
        assert doctor.wait() == 1
    assert "sequence-dense" in doctor.output()
    assert "rest-page-limit" in doctor.output()
    assert "Traceback" not in doctor.output()


def test_a_terminal_shows_how_far_it_is() -> None:
    with running() as exchange:
        ours, theirs = pty.openpty()
        env = {**os.environ, **environment(exchange), "TERM": "xterm"}
        command = [*COMMAND, "--minutes", "2"]
        with subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=theirs) as doctor:
            os.close(theirs)
            shown = b""
            try:
                while b"of exchange time" not in shown:
                    shown += os.read(ours, 65_536)
                doctor.wait(PATIENCE_S)
            finally:
                doctor.kill()
                os.close(ours)
    assert b"listened for 0:0" in shown


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--minutes", "0"], "invalid number of minutes '0': must be above 0"),
        (["--minutes", "soon"], "invalid number of minutes 'soon'"),
        (["--record", "/proc/nothing/r.gz"], "cannot write /proc/nothing/r.gz: No such file"),
        (["--record", __file__], "exists: name another file"),
    ],
)
def test_wrong_arguments_are_one_line(processes: Start, arguments: list[str], complaint: str) -> None:
    doctor = processes([*COMMAND, *arguments], env=environment())
    assert doctor.wait() == 2
    [line] = doctor.output().splitlines()
    assert line.startswith("error: ")
    assert complaint in line


def test_a_recording_is_replayed_with_the_same_candles(processes: Start, tmp_path: Path) -> None:
    record = tmp_path / "recording.gz"
    with running() as exchange:
        command = [*COMMAND, "--minutes", "7", "--record", str(record)]
        assert processes(command, env=environment(exchange)).wait() == 1
        market = ReplayMarket(record)
        assert sorted(market.products) == ["BTC-USD", "ETH-USD", "MLN-USD"]
        ends = []
        for product in market.products:
            starts = market.trades(product, 0, 2**61).time_ms // 300_000 * 300
            first_s, end_s = int(starts[0]), int(starts[-1]) + BASE.seconds
            ends.append(end_s)
            true = exchange.truth(product, BASE, first_s, end_s)
            replayed = TradeLog(market).truth(product, BASE, first_s, end_s, end_s * 1000)
            assert [numbers(row) for row in replayed] == [numbers(row) for row in true]
            assert len(true) > 50
        assert max(ends) > START_S + 300, "closed while it was recorded"
    with LocalExchange(market, speed=60, start_ms=market.span_s[1] * 1000) as again:
        doctor = processes([*COMMAND, "--minutes", "0.5"], env=environment(again))
        assert doctor.wait() == 1
        assert "3 in the acknowledgements" in doctor.output()


def numbers(row: dict[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in row.items()}
