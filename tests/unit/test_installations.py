"""Which running installations a command finds, and what their state files hold."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from app.errors import InvalidInput, Unready
from app.launch import installations
from app.launch.installations import STATE, Installation, announced, choose, find, running
from app.launch.plan import ExchangeChoice, Plan, make
from app.settings import Settings

TOKEN = "a-secret-of-16-characters"


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr("app.launch.places.HOME", tmp_path / "home")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    return folder / "candlewick"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "Procfile").write_text("web: python -m app web\n")
    environ = {
        "PATH": os.environ["PATH"],
        "CANDLEWICK_WEB_TOKEN": TOKEN,
        "CANDLEWICK_TIMEFRAMES": "5m,1h",
        "LD_PRELOAD": "x",
    }
    made = make(ExchangeChoice.LOCAL, tmp_path / "Procfile", None, environ)
    made.folder.mkdir(parents=True)
    return made


def test_a_launch_is_found_while_it_runs(plan: Plan, runtime: Path) -> None:
    with announced(plan):
        [found] = running()
        assert (found.name, found.data, found.web_url) == ("demo", str(plan.folder), "http://127.0.0.1:8000")
        assert found.settings["CANDLEWICK_TIMEFRAMES"] == "5m,1h"
        assert found.settings["CANDLEWICK_REDIS_URL"] == plan.settings.redis_url
        for path in (plan.folder / STATE, runtime / f"{os.getpid()}.json"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert Installation.read(path) == found
            assert TOKEN not in path.read_text()
            assert "LD_PRELOAD" not in path.read_text()
    assert running() == []
    assert list(runtime.iterdir()) == []
    assert not (plan.folder / STATE).exists()


def test_the_file_of_a_launch_that_is_gone_is_ignored_and_removed(plan: Plan, runtime: Path) -> None:
    with announced(plan):
        row = json.loads((plan.folder / STATE).read_text())
    path = runtime / "1.json"
    for gone in ({**row, "started": "1"}, {**row, "started": ""}, {**row, "pid": 2**22 + 1}):
        path.write_text(json.dumps(gone))
        assert Installation.read(path) is None
    with announced(plan):
        assert not path.exists()


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '{"name": "demo"}', "\xff"])
def test_a_file_that_is_not_a_state_is_ignored(text: str, tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(text.encode("latin-1"))
    assert Installation.read(tmp_path / STATE) is None


def test_a_file_with_anything_but_settings_is_ignored(plan: Plan) -> None:
    with announced(plan):
        row = json.loads((plan.folder / STATE).read_text())
        row["settings"]["LD_PRELOAD"] = "/tmp/x.so"
        (plan.folder / STATE).write_text(json.dumps(row))
        assert Installation.read(plan.folder / STATE) is None


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_a_file_of_another_user_is_ignored(plan: Plan) -> None:
    with announced(plan):
        os.chown(plan.folder / STATE, 65_534, 65_534)
        assert Installation.read(plan.folder / STATE) is None


@pytest.mark.usefixtures("plan")
def test_a_command_reads_the_settings_of_the_launch_in_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "launched").mkdir()
    (tmp_path / "launched/candlewick.toml").write_text(
        "gap_scan_seconds = 77.125\n[coinbase]\nproducts = ['BTC-USD']\n"
    )
    monkeypatch.chdir(tmp_path / "launched")
    launched = make(ExchangeChoice.REAL, tmp_path / "Procfile", None, {"PATH": os.environ["PATH"]})
    (tmp_path / "candlewick.toml").write_text("timeframes = ['5m', '1h']\nreconcile_seconds = 5\n")
    monkeypatch.chdir(tmp_path)
    settings = Settings.from_environment(Installation.of(launched).settings)
    assert settings.model_dump() == launched.settings.model_dump()


def test_a_launch_works_without_a_folder_for_all_launches(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installations, "_listed", lambda **_: Path("/proc/none"))
    with announced(plan):
        assert find(str(plan.folder), Path("/")) == Installation.read(plan.folder / STATE)


def _installation(name: str, data: str) -> Installation:
    return Installation(name, data, "http://127.0.0.1:8000", 1, "1", {})


DEMO, RUN, OTHER = _installation("demo", "/a/demo"), _installation("run", "/a/run"), _installation("demo", "/b/demo")


@pytest.mark.parametrize(
    ("every", "wanted", "folder", "found"),
    [
        ([], None, "/", None),
        ([DEMO], None, "/", DEMO),
        ([DEMO], None, "/b", DEMO),
        ([DEMO, OTHER], None, "/b", OTHER),
        ([DEMO, RUN], "run", "/", RUN),
    ],
)
def test_the_one_of_this_folder_or_the_only_one_is_meant(
    every: list[Installation],
    wanted: str | None,
    folder: str,
    found: Installation | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(installations, "running", lambda: every)
    assert find(wanted, Path(folder)) == found


def test_several_are_named_with_the_way_to_choose() -> None:
    with pytest.raises(InvalidInput) as error:
        choose([DEMO, RUN, OTHER], None, [])
    assert str(error.value).splitlines() == [
        "3 installations are running; choose one, or set REDIS_URL:",
        "  --installation /a/demo: demo (http://127.0.0.1:8000, data in /a/demo)",
        "  --installation run: run (http://127.0.0.1:8000, data in /a/run)",
        "  --installation /b/demo: demo (http://127.0.0.1:8000, data in /b/demo)",
    ]


def test_a_wanted_one_that_does_not_run_is_an_error_with_those_that_do() -> None:
    with pytest.raises(
        Unready, match=r"no installation of this user is 'run', by name or data folder; running: demo \("
    ):
        choose([], "run", [DEMO])
    with pytest.raises(Unready, match="running: none"):
        choose([], "run", [])
