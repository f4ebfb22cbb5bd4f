"""The completion scripts in real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import PATIENCE_S, ROOT

pytestmark = pytest.mark.integration

READY = "ready-to-complete"
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "bind 'set enable-bracketed-paste off'; source {script}"),
    "zsh": (["zsh", "-f", "-i"], "fpath=({script.parent} $fpath); autoload -Uz compinit; compinit -u -D"),
}
TAB = "\t"


class Terminal:
    """A shell at a terminal, as a person uses it."""

    def __init__(self, master: int) -> None:
        self._master = master
        self.output = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until `text` appears."""
        while text not in self.output:
            assert select.select([self._master], [], [], PATIENCE_S)[0], self.output
            self.output += os.read(self._master, 65_536).decode(errors="replace")


@contextmanager
def terminal(command: list[str]) -> Iterator[Terminal]:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (50, 500))  # no line is scrolled
    environ = {**os.environ, "TERM": "dumb", "PS1": "$ ", "HISTFILE": "/dev/null"}
    process = subprocess.Popen(
        command, stdin=slave, stdout=slave, stderr=slave, env=environ, cwd=ROOT, start_new_session=True
    )
    os.close(slave)
    try:
        yield Terminal(master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def script(shell: str, folder: Path) -> Path:
    """The script that `candlewick completion` prints, in a file."""
    command = [sys.executable, "-W", "error", "-m", "candlewick", "completion", shell]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    path = folder / ("_candlewick" if shell == "zsh" else f"candlewick.{shell}")
    path.write_text(done.stdout)
    return path


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("candlewick exp", "candlewick export"),
        ("candlewick status --ins", "candlewick status --installation"),
        ("candlewick worker ind", "candlewick worker indicators"),
        ("candlewick export --output LICEN", "candlewick export --output LICENSE"),
    ],
)
@pytest.mark.parametrize("shell", SHELLS)
def test_a_tab_completes(shell: str, typed: str, completed: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    command, setup = SHELLS[shell]
    with terminal(command) as shell_at_work:
        shell_at_work.type(f"{setup.format(script=script(shell, tmp_path))}; echo {READY[:5]}''{READY[5:]}\n")
        shell_at_work.wait_for(READY)
        shell_at_work.type(typed + TAB)
        shell_at_work.wait_for(completed)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(tmp_path: Path) -> None:
    def completed(typed: str) -> set[str]:
        command = f"source '{script('fish', tmp_path)}'; complete -C '{typed}'"
        environ = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        done = subprocess.run(
            ["fish", "--no-config", "-c", command], capture_output=True, text=True, env=environ, check=True
        )
        return {line.partition("\t")[0] for line in done.stdout.splitlines()}

    assert completed("candlewick exp") == {"export"}
    assert completed("candlewick worker ") == {"indicators", "backfill", "alerts"}
    assert "--installation" in completed("candlewick status --")
    assert {"5m", "1h"} <= completed("candlewick candles BTC-USD ")
