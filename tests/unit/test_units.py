"""The units of systemd, as systemd's own tools judge them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.system import PROCFILE

ANALYZE = shutil.which("systemd-analyze")
FOLDER = ROOT / "deploy/systemd"
MAX_EXPOSURE = 3.0

pytestmark = pytest.mark.skipif(ANALYZE is None, reason="needs systemd-analyze: apt install systemd")


def wanted() -> list[str]:
    """The services that the target starts, and Flower."""
    target = (FOLDER / "candlewick.target").read_text(encoding="utf-8")
    return [*re.findall(r"candlewick@[\w-]+\.service", target), "candlewick@flower.service"]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Where the units are installed: systemd reads a template by the names of its instances."""
    for file in FOLDER.iterdir():
        shutil.copy(file, tmp_path)
    return tmp_path


def analyzed(units: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ANALYZE), *arguments], cwd=units, capture_output=True, text=True, check=False, env={"HOME": str(units)}
    )


def test_the_target_starts_every_process_of_the_procfile() -> None:
    commands = {name.removeprefix("candlewick@").removesuffix(".service").removeprefix("worker-") for name in wanted()}
    assert commands == set(PROCFILE)


def test_systemd_finds_nothing_wrong(units: Path) -> None:
    done = analyzed(units, "verify", "./candlewick.target", *(f"./{name}" for name in wanted()))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("name", wanted())
def test_a_service_is_hardly_exposed(units: Path, name: str) -> None:
    done = analyzed(units, "security", "--offline=true", "--no-pager", f"./{name}")
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MAX_EXPOSURE
