"""The wheel: what it holds, and the program that it installs outside of a checkout, beside packages named as ours."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import candlewick
from tests.support import ROOT, Process, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=1.5)]

UV = [sys.executable, "-m", "uv"]
MAX_BYTES = 3_000_000
NAMES = ("app", "client", "simulator", "workers")
"""Our folders, and packages of a user."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([*UV, "build", "-q", "--wheel", "--no-build-isolation", "-o", folder, ROOT], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(f"candlewick-{candlewick.__version__}.dist-info/METADATA"))


def test_it_holds_all_of_our_folders_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "candlewick", *NAMES, "celeryconfig.py", "Procfile"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    ours = {name if name.startswith("candlewick/") else f"candlewick/{name}" for name in listed}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == ours
    assert "candlewick/py.typed" in names
    assert wheel.stat().st_size < MAX_BYTES


def test_its_metadata_is_complete(metadata: Message) -> None:
    assert metadata["Name"] == "candlewick"
    assert metadata["Version"] == candlewick.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE", "app/web/static/vendor/NOTICE.txt"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_all("Provides-Extra") == ["pandas", "parquet", "polars"]
    assert {url.partition(",")[0] for url in metadata.get_all("Project-URL") or ()} >= {"Homepage", "Changelog"}
    assert str(metadata.get_payload()).startswith("# Candlewick")


def test_uninstalling_it_leaves_nothing(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([*UV, "venv", "-q", "--python", sys.executable, tmp_path], check=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "--python", tmp_path]
    before = set(tmp_path.rglob("*"))
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True)
    done = subprocess.run([tmp_path / "bin/candlewick", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"candlewick {candlewick.__version__}\n"
    assert len(set(tmp_path.rglob("*.pyc")) - before) > 5, "it has run"
    subprocess.run([*pip, "uninstall", "-y", "candlewick"], check=True)
    assert set(tmp_path.rglob("*")) == before


class Installed:
    """The wheel in an empty environment, used in the folder of a user whose own packages have the names of ours."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "venv/bin"
        self.project = folder / "project"
        self.home = folder / "home"
        ports = {
            name: str(free_port())
            for name in ("CANDLEWICK_WEB_PORT", "CANDLEWICK_FLOWER_PORT", "CANDLEWICK_LAUNCH_EXCHANGE_PORT")
        }
        self.environ = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.project),
            "REDIS_URL": "",
            "CANDLEWICK_TIMEFRAMES": "5m,15m",
            "XDG_RUNTIME_DIR": str(folder / "runtime"),
            **ports,
        }

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self.bin / program), *arguments]
        return subprocess.run(command, cwd=self.project, env=self.environ, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    found = Installed(folder)
    for path in (found.home, found.project, folder / "runtime"):
        path.mkdir(mode=0o700)
    subprocess.run([*UV, "venv", "-q", "--python", sys.executable, folder / "venv"], check=True)
    python = str(found.bin / "python")
    subprocess.run(
        [*UV, "pip", "install", "-q", "--python", python, "-c", ROOT / "requirements.lock", wheel], check=True
    )
    packages = next((folder / "venv/lib").glob("python*/site-packages"))
    for place in (found.project, packages):
        for name in NAMES:
            (place / name).mkdir()
            (place / name / "__init__.py").write_text(f"OWNER = 'the user, in {place.name}'\n")
        (place / "celeryconfig.py").write_text("raise SystemExit('this is not ours')\n")
    return found


@pytest.mark.whole_system
def test_the_demo_runs_until_ready_and_is_found(installed: Installed, processes: Callable[..., Process]) -> None:
    command = [str(installed.bin / "candlewick"), "demo"]

    def start(*options: str) -> Process:
        # `env -i`: a process of the tests has settings of its own
        variables = [f"{name}={value}" for name, value in installed.environ.items()]
        return processes(["env", "-i", *variables, *command, *options], cwd=installed.project)

    ready = start("--until-ready", "600")
    assert ready.wait() == 0, ready.output()
    assert "the first indicator is computed" in ready.output()
    assert (installed.home / ".local/share/candlewick/demo/redis").is_dir()

    process = start()
    eventually(lambda: "Flower answers" in process.output(), interval=0.2)
    status = installed.run("candlewick", "status", "--json")
    assert status.stderr == ""
    roles = ("beat", "ingest", "watchdog", "web", "worker alerts", "worker backfill+reconcile", "worker indicators")
    assert set(json.loads(status.stdout)["processes"]) == set(roles)
    assert installed.run("candlewick", "candles", "BTC-USD", "--limit", "1").returncode == 0
    url = f"http://127.0.0.1:{installed.environ['CANDLEWICK_WEB_PORT']}"
    script = f"import candlewick; print(len(candlewick.Client('{url}').candles('BTC-USD', limit=2)))"
    assert installed.run("python", "-c", script).stdout == "2\n"
    assert process.stop() == 0
    assert installed.run("candlewick", "status").returncode == 1
    assert sorted(path.name for path in installed.project.iterdir() if path.name != "__pycache__") == sorted(
        [*NAMES, "celeryconfig.py"]
    ), "nothing is written into the current folder"


def test_the_users_own_packages_are_imported_in_the_users_programs(installed: Installed) -> None:
    script = (
        "import app, candlewick, client, workers; candlewick.Client; print({m.OWNER for m in (app, client, workers)})"
    )
    assert installed.run("python", "-c", script).stdout == "{'the user, in project'}\n"
    outside = subprocess.run(
        [installed.bin / "python", "-c", script], cwd="/", env={}, capture_output=True, text=True, check=True
    )
    assert outside.stdout == "{'the user, in site-packages'}\n"


@pytest.mark.parametrize("role", ["ingest", "web", "watchdog", "flower", "worker indicators", "beat"])
def test_each_process_runs_this_program_and_not_the_users(installed: Installed, role: str, redis_url: str) -> None:
    environ = {
        **installed.environ,
        "REDIS_URL": redis_url,
        "CANDLEWICK_WEB_HOST": "0.0.0.0",
        "CANDLEWICK_FLOWER_ADDRESS": "0.0.0.0",
    }
    environ |= {"CANDLEWICK_RECONCILE_SECONDS": "never"}
    done = subprocess.run(
        [installed.bin / "candlewick", *role.split()],
        cwd=installed.project, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert re.fullmatch(r"error: settings are wrong:\n  CANDLEWICK_RECONCILE_SECONDS: [^\n]*\n", done.stderr)
