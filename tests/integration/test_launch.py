"""The launcher with tiny real processes: it starts them, restarts them, and leaves none behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil  # type: ignore[import-untyped]
import pytest
import redis

from app.launch.plan import redis_socket
from app.launch.redis import command_line, find_server, wait_ready
from app.storage import keys
from app.storage.address import Address
from tests.support import ROOT, Process, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=1.1)]

# An HTTP server, a waiting process, and one that may be made to fail. Each leaves its id in a file.
PROCFILE = """\
web: python -m http.server ${CANDLEWICK_WEB_PORT} --bind 127.0.0.1
waiter: python waiter.py
"""
WAITER = """\
import os, pathlib, sys, time
pathlib.Path("waiter.pid").write_text(str(os.getpid()))
if pathlib.Path("fail").exists():
    sys.exit("told to fail")
print(os.environ.get("CANDLEWICK_REDIS_URL") or os.environ["REDIS_URL"], flush=True)
time.sleep(600)
"""


NOWHERE = {"CANDLEWICK_COINBASE__WS_URL": "ws://127.0.0.1:1", "CANDLEWICK_COINBASE__REST_URL": "http://127.0.0.1:1"}


class Launch:
    """A launcher that can be started repeatedly in one folder, on ports of its own."""

    def __init__(self, root: Path, processes: Callable[..., Process]) -> None:
        self.root = root
        self.ports = {name: str(free_port()) for name in ("CANDLEWICK_WEB_PORT", "CANDLEWICK_FLOWER_PORT")}
        self.redis_url = Address("unix", socket=str(redis_socket(root / "var/run"))).url
        self._processes = processes
        self.command = [sys.executable, "-m", "app.launch", "run", "--procfile", str(root / "Procfile")]
        (root / "Procfile").write_text(PROCFILE)
        (root / "waiter.py").write_text(WAITER)

    def start(self, *, market: str = "run", **environ: str) -> Process:
        command = [market if part == "run" else part for part in self.command]
        return self._processes(command, env={**self.ports, **NOWHERE, "REDIS_URL": "", **environ})

    def piped(self, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        """A launch whose output is read from a pipe."""
        environ = {**os.environ, **self.ports, **NOWHERE, "REDIS_URL": ""}
        return subprocess.Popen(self.command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)

    def waiter(self) -> Any:
        """The running waiter, or None."""
        path = self.root / "waiter.pid"
        found = psutil.Process(int(path.read_text())) if path.exists() else None
        return found if found and found.is_running() and found.status() != psutil.STATUS_ZOMBIE else None

    def running(self) -> list[psutil.Process]:
        """Every process related to this folder, whatever its parent is."""
        mine = str(self.root)
        return [p for p in psutil.process_iter() if mine in _about(p) and p.pid != os.getpid()]

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(self.redis_url) as client:
            yield client


def _about(process: psutil.Process) -> str:
    try:
        return " ".join([*process.cmdline(), process.cwd()]) if process.status() != psutil.STATUS_ZOMBIE else ""
    except psutil.Error:
        return ""


@pytest.fixture
def launch(tmp_path: Path, processes: Callable[..., Process]) -> Iterator[Launch]:
    launch = Launch(tmp_path, processes)
    yield launch
    for left in launch.running():
        with suppress(psutil.NoSuchProcess):  # one that ends with its parent
            left.kill()


def _output_with(process: Process, text: str) -> str:
    eventually(lambda: text in process.output() or process.returncode is not None)
    output = process.output()
    assert text in output
    return output


def _candlewick(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that has to find its installation."""
    environ = {**os.environ, "REDIS_URL": ""}
    command = [sys.executable, "-m", "candlewick", *arguments]
    return subprocess.run(command, env=environ, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_starts_prints_its_urls_and_ends_without_leftovers(launch: Launch, signum: int) -> None:
    process = launch.start()
    output = _output_with(process, "dashboard answers")
    assert f"dashboard       http://127.0.0.1:{launch.ports['CANDLEWICK_WEB_PORT']}" in output
    assert f"Flower          http://127.0.0.1:{launch.ports['CANDLEWICK_FLOWER_PORT']}" in output
    waiter = eventually(launch.waiter)
    assert "command line    " in output
    assert "cannot reach http://127.0.0.1:1 (" in _output_with(process, "every process keeps retrying")
    assert launch.redis_url in eventually((launch.root / "var/run/logs/waiter.log").read_text)
    process.send(signum)
    assert process.wait() == 0
    assert not waiter.is_running()
    assert launch.running() == []


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No installation runs but those of the test."""
    (tmp_path / "runtime").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))


@pytest.mark.usefixtures("alone")
def test_commands_find_the_running_installation(launch: Launch, tmp_path: Path) -> None:
    data = launch.root / "var/run"
    first = launch.start(CANDLEWICK_TIMEFRAMES="5m,1h")
    _output_with(first, "Redis answers")
    found = eventually(lambda: json.loads(_candlewick("status", "--json").stdout))
    assert found["redis"]
    assert {row["timeframe"] for row in json.loads(_candlewick("products", "--json").stdout)["products"]} == set()
    assert _candlewick("status", "--installation", "run").stdout == _candlewick("status", "--data", str(data)).stdout
    wrong = _candlewick("status", "--installation", "demo")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert (
        "no installation of this user is 'demo', by name or data folder; running: run (http://127.0.0.1:"
        in wrong.stderr
    )

    (tmp_path / "other").mkdir()
    other = Launch(tmp_path / "other", launch._processes)
    second = other.start()
    _output_with(second, "Redis answers")
    several = eventually(lambda: (done := _candlewick("status")).returncode == 2 and done.stderr)
    assert "2 installations are running; choose one, or set REDIS_URL:" in several
    assert all(f"--installation {folder}: run (" in several for folder in (data, other.root / "var/run"))
    assert second.stop() == 0

    first.send(signal.SIGKILL)
    eventually(lambda: launch.running() == [])
    assert (data / "installation.json").exists()
    nothing = _candlewick("status")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert nothing.stderr.count("\n") == 1
    assert "no running installation was found: start one with `candlewick demo`" in nothing.stderr


@pytest.mark.usefixtures("alone")
def test_until_ready_ends_after_the_first_new_indicator(launch: Launch) -> None:
    launch.command += ["--until-ready", "600"]
    process = launch.start()
    _output_with(process, "dashboard answers")
    eventually(launch.waiter)
    assert process.returncode is None
    with launch.client() as client:
        client.xadd(keys.EVENTS, {"series": "coinbase:BTC-USD:5m", "kind": "indicator", "data": "{}"})
    assert process.wait() == 0
    assert "the first indicator is computed" in process.output()
    assert launch.running() == []


@pytest.mark.parametrize("end", ["time", "signal"])
def test_until_ready_fails_with_a_reason(launch: Launch, end: str) -> None:
    launch.command += ["--until-ready", "1" if end == "time" else "600"]
    process = launch.start()
    if end == "signal":
        _output_with(process, "dashboard answers")
        process.send(signal.SIGINT)
    assert process.wait() == 1
    reason = "no indicator was computed within 1 s: " if end == "time" else "stopped before the first indicator"
    assert process.output().splitlines()[-1].startswith(f"error: {reason}")
    assert launch.running() == []


@pytest.mark.parametrize("lines", [1, 9])
def test_a_closed_pipe_ends_everything_in_order(launch: Launch, lines: int) -> None:
    """As with `make run | head -1`."""
    errors = (launch.root / "errors").open("wb")
    with errors, launch.piped(errors) as process:
        for _ in range(lines):
            assert process.stdout.readline()
        process.stdout.close()
        eventually(lambda: process.poll() is not None)
    assert process.returncode == 0
    assert (launch.root / "errors").read_text() == ""
    assert launch.running() == []


def test_a_folder_that_cannot_be_written_is_one_line(launch: Launch) -> None:
    (launch.root / "var").write_text("in the way")
    process = launch.start()
    assert process.wait() == 2
    assert process.output() == (
        f"cannot start: {launch.root}/var/run cannot be written (Not a directory): name another folder with --data\n"
    )


def test_a_killed_process_is_restarted_and_the_others_continue(launch: Launch) -> None:
    process = launch.start()
    first = eventually(launch.waiter)
    _output_with(process, "dashboard answers")
    with launch.client() as client:
        before = client.info("server")["run_id"]
        first.kill()
        eventually(lambda: launch.waiter().pid != first.pid)
        assert client.info("server")["run_id"] == before
    assert "waiter ended" in _output_with(process, "waiter ended")
    assert process.stop() == 0


def test_a_redis_that_is_killed_comes_back_with_its_data(launch: Launch) -> None:
    process = launch.start()
    _output_with(process, "Redis answers")
    with launch.client() as client:
        client.set("kept", "1")
        eventually(lambda: client.info("persistence")["aof_buffer_length"] == 0)  # on a slow disk it may wait a second
        psutil.Process(client.info("server")["process_id"]).kill()
        eventually(lambda: client.get("kept") == b"1")
    assert process.stop() == 0


def test_a_crashing_process_is_named_with_the_end_of_its_log(launch: Launch) -> None:
    (launch.root / "fail").touch()
    process = launch.start()
    assert "waiter.log, ends: told to fail" in _output_with(process, "waiter ended")
    (launch.root / "fail").unlink()
    eventually(launch.waiter)
    assert process.stop() == 0


def test_a_second_start_keeps_the_data(launch: Launch) -> None:
    first = launch.start()
    _output_with(first, "Redis answers")
    with launch.client() as client:
        client.set("kept", "1")
    assert first.stop() == 0
    second = launch.start()
    _output_with(second, "Redis answers")
    with launch.client() as client:
        assert client.get("kept") == b"1"
    assert second.stop() == 0


def test_nothing_is_left_when_the_launcher_itself_is_killed(launch: Launch) -> None:
    process = launch.start()
    _output_with(process, "dashboard answers")
    eventually(launch.waiter)
    assert len(launch.running()) > 3
    process.send(signal.SIGKILL)
    eventually(lambda: launch.running() == [])


@pytest.mark.parametrize("again", range(3))
def test_an_end_while_it_starts_is_not_missed(launch: Launch, again: int) -> None:
    process = launch.start()
    eventually(
        lambda: any("waiter.py" in part for p in launch.running() for part in p.cmdline()), interval=0.001 * again
    )
    assert process.stop() == 0
    assert launch.running() == []


def test_a_taken_port_is_named_with_its_purpose_and_setting(launch: Launch) -> None:
    with socket.create_server(("127.0.0.1", int(launch.ports["CANDLEWICK_FLOWER_PORT"]))):
        process = launch.start()
        assert process.wait() == 2
    port = launch.ports["CANDLEWICK_FLOWER_PORT"]
    assert process.output() == (
        f"cannot start: port {port} (Flower) is taken by another program; "
        "move it: CANDLEWICK_FLOWER_PORT=<another port>\n"
    )
    assert launch.running() == []


def test_one_port_for_two_processes_is_an_error(launch: Launch) -> None:
    process = launch.start(CANDLEWICK_FLOWER_PORT=launch.ports["CANDLEWICK_WEB_PORT"])
    assert process.wait() == 2
    assert "is also used by dashboard and API (CANDLEWICK_WEB_PORT)" in process.output()


def test_a_folder_that_is_in_use_is_refused(launch: Launch) -> None:
    first = launch.start()
    _output_with(first, "Redis answers")
    other = {name: str(free_port()) for name in launch.ports}
    second = launch.start(**other)
    assert second.wait() == 2
    assert "is in use" in second.output()
    assert first.stop() == 0


def test_a_bad_setting_is_an_error_before_anything_starts(launch: Launch) -> None:
    process = launch.start(CANDLEWICK_WEB_PORT="never")
    assert process.wait() == 2
    assert "CANDLEWICK_WEB_PORT" in process.output()
    assert "Traceback" not in process.output()
    assert not (launch.root / "var").exists()


def test_invented_prices_never_join_real_ones(launch: Launch, redis_url: str) -> None:
    first = launch.start(REDIS_URL=redis_url)
    _output_with(first, "Redis answers")
    assert first.stop() == 0
    second = launch.start(REDIS_URL=redis_url, CANDLEWICK_COINBASE__REST_URL="https://another.example")
    assert second.wait() == 2
    assert "holds prices of" in second.output()
    assert launch.running() == []


def test_a_missing_external_redis_is_an_error(launch: Launch) -> None:
    process = launch.start(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    _output_with(process, "http://127.0.0.1")
    assert process.stop() == 0  # it waits for that Redis, and can be stopped
    assert launch.running() == []


def test_a_redis_that_cannot_start_is_reported_with_the_end_of_its_log(launch: Launch) -> None:
    (launch.root / "var/run/redis").mkdir(parents=True)
    (launch.root / "var/run/redis/appendonlydir").write_text("in the way")
    process = launch.start()
    assert process.wait() == 1
    assert "its log ends:" in process.output()
    assert launch.running() == []


STRANGER = """
import os, socket, sys
for number, place in enumerate(sys.argv[1:]):
    try:
        socket.socket(socket.AF_UNIX).connect(place)
    except PermissionError:
        continue
    sys.exit(f"{place} is open")
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("name", ["short", "a" * 90])
def test_no_other_user_reaches_the_embedded_redis(launch: Launch, name: str) -> None:
    with tempfile.TemporaryDirectory() as open_to_all:
        folder = Path(open_to_all, name)
        (folder / "redis").mkdir(parents=True)
        for path in (Path(open_to_all), folder, folder / "redis"):
            path.chmod(0o755)
        launch.command += ["--data", str(folder)]
        process = launch.start()
        _output_with(process, "dashboard answers")
        listens = redis_socket(folder)
        for path in (listens, listens.parent, folder / "redis", folder / "logs"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
        python = Path("/usr/bin/python3")
        subprocess.run([python, "-c", STRANGER, str(listens)], user=65534, group=65534, cwd="/", check=True)
        with redis.Redis(unix_socket_path=str(listens)) as client:
            server = psutil.Process(client.info("server")["process_id"])
            assert not server.net_connections("inet"), "no port"
        assert process.stop() == 0


def test_a_redis_that_is_still_ending_is_not_joined_by_another(launch: Launch) -> None:
    data = launch.root / "var/run/redis"
    data.mkdir(parents=True)
    listens = redis_socket(launch.root / "var/run")
    listens.parent.mkdir(exist_ok=True)
    left = Process(command_line(find_server(os.environ), listens, data), launch.root / "left.log")
    try:
        wait_ready(launch.redis_url)
        process = launch.start()
        assert process.wait() == 2
        assert "is in use: its Redis still runs" in process.output()
    finally:
        left.end()


@pytest.fixture
def odd_folder() -> Iterator[Path]:
    """Short enough for sockets, with special characters of URLs."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "a b@c#d?e")


def test_the_command_line_and_celery_find_it_in_an_odd_folder(launch: Launch, odd_folder: Path) -> None:
    folder = odd_folder
    shutil.copy(ROOT / "Procfile", launch.root)
    launch.command += ["--data", str(folder)]
    process = launch.start(CANDLEWICK_COINBASE__PRODUCTS="BTC-USD")
    _output_with(process, "Flower answers")

    def workers() -> bool:
        pong = _candlewick("status", "--json", "--data", str(folder))
        assert pong.returncode == 1, pong.stderr
        return all(f"worker {name}" in pong.stdout for name in ("indicators", "backfill", "alerts"))

    eventually(workers, interval=0.5)
    assert process.stop() == 0


@pytest.mark.parametrize("way", ["cut", "move"])
def test_a_damaged_file_is_reported_with_a_working_remedy(launch: Launch, way: str) -> None:
    first = launch.start()
    _output_with(first, "Redis answers")
    with launch.client() as client:
        for number in range(500):
            client.set(f"kept {number}", "1" * 100)
    assert first.stop() == 0
    data = launch.root / "var/run/redis"
    file = next(data.rglob("*.incr.aof"))
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    file.write_bytes(content)
    second = launch.start()
    assert second.wait() == 1
    output = second.output()
    assert f"the data in {data} is damaged (Bad file format reading the append only file" in output
    assert "move that folder away: all candles are fetched again, but past alerts" in output
    assert f"redis-check-aof --fix '{file}'" in output
    assert launch.running() == []
    if way == "move":
        data.rename(launch.root / "moved")
    elif (program := shutil.which("redis-check-aof")) is None:
        pytest.skip("redis-check-aof is not installed")
    else:
        subprocess.run([program, "--fix", file], input=b"y\n", check=True)
    third = launch.start()
    _output_with(third, "Redis answers")
    with launch.client() as client:
        assert client.exists("kept 0") == (way == "cut")
        assert not client.exists("kept 499")
    assert third.stop() == 0


def test_a_file_damaged_at_runtime_is_reported_when_redis_restarts(launch: Launch) -> None:
    process = launch.start()
    _output_with(process, "dashboard answers")
    with launch.client() as client:
        server = psutil.Process(client.info("server")["process_id"])
        server.suspend()
        next((launch.root / "var/run/redis").rglob("*.manifest")).write_text("damaged\n")
        server.kill()
    output = _output_with(process, "redis ended and cannot start: the data in ")
    assert "is damaged (" in output
    process.stop()


def _server_of_version(folder: Path, version: str) -> Path:
    """A program that must not be started: it would leave a file."""
    path = folder / "redis-server"
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo "Redis server v={version} sha=0" || touch {folder}/started\n'
    )
    path.chmod(0o755)
    return path


def test_a_server_that_is_older_than_the_data_is_not_started_on_it(launch: Launch) -> None:
    first = launch.start()
    _output_with(first, "Redis answers")
    with launch.client() as client:
        client.set("kept", "1")
    assert first.stop() == 0
    mark = launch.root / "var/run/redis/written-by"
    assert mark.read_text().startswith(("Valkey ", "Redis "))

    older = _server_of_version(launch.root, "6.2.14")
    named = launch.start(CANDLEWICK_LAUNCH_REDIS_SERVER=str(older))
    assert named.wait() == 2
    assert (
        f"was written by {mark.read_text().strip()}, and {older} is Redis 6.2, which may not read it" in named.output()
    )

    path = f"{launch.root}{os.pathsep}{os.environ['PATH']}"
    other = launch.start(PATH=path)  # from the PATH: the server that wrote the data is used
    _output_with(other, "Redis answers")
    with launch.client() as client:
        assert client.get("kept") == b"1"
    assert other.stop() == 0
    assert not (launch.root / "started").exists()

    mark.write_text("Valkey 99.0\n")
    refused = launch.start()
    assert refused.wait() == 2
    assert (
        "name Valkey 99.0 or a later one in CANDLEWICK_LAUNCH_REDIS_SERVER, or move that folder away"
        in refused.output()
    )
    (launch.root / "var/run/redis").rename(launch.root / "moved")
    again = launch.start()
    _output_with(again, "Redis answers")
    assert again.stop() == 0


def test_sigusr1_applies_changed_rules_and_sighup_ends_in_order(launch: Launch) -> None:
    config = launch.root / "candlewick.toml"
    config.write_text("")
    process = launch.start(CANDLEWICK_CONFIG=str(config))
    _output_with(process, "dashboard answers")
    config.write_text("[[alerts.rule]]\nname = 'x'\nkind = 'lvl'\n")
    process.send(signal.SIGUSR1)
    wrong = "candlewick.toml, line 3: alerts.rule.0.kind: must be one of level"
    assert "not reloaded, nothing has changed: settings are wrong" in _output_with(process, wrong)
    with launch.client() as client:
        assert not client.exists(keys.RULES)
        config.write_text("[[alerts.rule]]\nname = 'x'\nkind = 'level'\n")
        process.send(signal.SIGUSR1)
        _output_with(process, "reloaded: alert rules: 1, channels: 1, version ")
        assert b'"name":"x"' in client.hget(keys.RULES, "text")
    process.send(signal.SIGHUP)
    assert process.wait() == 0
    assert "stopping every process, Redis last" in process.output()
