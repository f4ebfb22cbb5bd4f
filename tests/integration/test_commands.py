"""Every command in the README and in docs/ does what it is there for: it is executed against a running demo.

`make commands` sets ALL_COMMANDS=1: then the slow ones are executed, too. Comments in the pages say which are slow or
not executed, and why; docs/testing.md lists them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import PUBLISHED, Command, commands
from tests.support import PATIENCE_S, ROOT, Process, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=2)]

ALL = bool(os.environ.get("ALL_COMMANDS"))
EVERY = commands()
RUN = [command for command in EVERY if command.is_run and (ALL or not command.is_slow)]
INTERRUPTED = (0, 130, -signal.SIGINT)

CONSOLE = f"""#!/bin/sh
case "$1" in demo | run) set -- "$@" --data "$READER_DATA" ;; esac
PYTHONPATH={ROOT} exec {sys.executable} -m candlewick "$@"
"""
"""What an installed package puts into the PATH; the data of this checkout's own demo is left alone."""


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {name: free_port() for name in PUBLISHED}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> dict[str, str]:
    """Of a reader who installed the package and stands in a folder with the examples."""
    programs, runtime = tmp_path_factory.mktemp("bin"), tmp_path_factory.mktemp("runtime")
    (programs / "candlewick").write_text(CONSOLE)
    (programs / "candlewick").chmod(0o755)
    runtime.chmod(0o700)
    return {
        "PATH": f"{programs}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_DATA_HOME": str(runtime),
        "READER_DATA": "data",
        **listening(ports),
    }


def listening(ports: dict[str, int]) -> dict[str, str]:
    """The settings by which a demo uses these ports."""
    names = {
        "web": "CANDLEWICK_WEB_PORT",
        "flower": "CANDLEWICK_FLOWER_PORT",
        "exchange": "CANDLEWICK_LAUNCH_EXCHANGE_PORT",
    }
    return {names[name]: str(port) for name, port in ports.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reader's folder."""
    made = tmp_path_factory.mktemp("reader")
    for name in ("examples", "deploy"):
        shutil.copytree(ROOT / name, made / name)
    return made


@pytest.fixture(scope="module")
def demo(folder: Path, environment: dict[str, str]) -> Iterator[Process]:
    """A running demo, with its first candles."""
    process = Process(["candlewick", "demo"], folder / "demo.log", env=environment, cwd=folder)
    try:
        eventually(lambda: is_complete(process, folder, environment), interval=1.0)
        yield process
    finally:
        process.send(signal.SIGINT)
        process.wait()
        process.end()


@pytest.fixture(scope="module")
def simulator(folder: Path, environment: dict[str, str]) -> Iterator[int]:
    """The port of a local exchange like that of docs/local-exchange.md: its faults and leaps leave the demo alone."""
    port = free_port()
    command = ["python", "-m", "simulator", "--port", str(port), "--speed", "60", "--start", "2021-03-04T00:00:00Z"]
    process = Process(command, folder / "simulator.log", env=environment, cwd=folder)
    wait_for(process, "local exchange: ws://")
    yield port
    process.end()


def is_complete(process: Process, folder: Path, environment: dict[str, str]) -> bool:
    if process.returncode is not None:
        pytest.fail(f"the demo ended:\n{process.output()[-4000:]}")
    status = subprocess.run(["candlewick", "status"], cwd=folder, env={**os.environ, **environment}, check=False)
    return status.returncode == 0


@pytest.mark.parametrize("command", RUN, ids=[command.block.place for command in RUN])
@pytest.mark.usefixtures("demo")
def test_the_command_works(
    command: Command,
    folder: Path,
    environment: dict[str, str],
    ports: dict[str, int],
    simulator: int,
    tmp_path: Path,
) -> None:
    language, is_alone = command.block.language, command.block.page.name == "local-exchange.md"
    exchange = free_port() if command.until else simulator
    script = command.script({**ports, "exchange": exchange} if is_alone else ports)
    (tmp_path / "block").write_text(script)
    shell = [sys.executable] if language == "python" else ["sh", "-eu"]
    env = fresh(environment, tmp_path) if command.is_fresh else environment
    if "candlewick demo" in script:  # beside the one that runs
        env = {**env, **listening({name: free_port() for name in PUBLISHED}), "READER_DATA": str(tmp_path / "data")}
    cwd = ROOT if command.is_in_checkout else folder
    process = Process([*shell, str(tmp_path / "block")], tmp_path / "log", env=env, cwd=cwd)
    try:
        if command.until:
            wait_for(process, command.until)
            interrupt(process)
        else:
            assert process.wait(PATIENCE_S if not command.is_slow else 6 * PATIENCE_S) == 0, process.output()
    finally:
        process.end()


def wait_for(process: Process, text: str) -> None:
    """Wait until the output contains `text`; the test fails if the process ends without."""

    def said() -> bool:
        if process.returncode is not None:
            pytest.fail(f"it ended with {process.returncode}:\n{process.output()}")
        return text in process.output()

    eventually(said, interval=0.1)


def interrupt(process: Process) -> None:
    """Press Ctrl-C."""
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait() in INTERRUPTED, process.output()


def fresh(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """The same with a virtual environment of its own first in the PATH, and nothing of this checkout."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    path = f"{folder / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {**environment, "PATH": path, "PYTHONPATH": ""}


def test_the_list_of_what_is_not_executed_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    rest = [command for command in EVERY if command not in RUN]
    with capsys.disabled():
        print(f"\n{len(RUN)} of {len(EVERY)} commands of the documentation were executed; the others:")
        for command in rest:
            print(f"  {command.block.place}: {'slow' if command.is_slow else 'not run'}: {command.reason}")
    assert all(command.reason for command in rest)
