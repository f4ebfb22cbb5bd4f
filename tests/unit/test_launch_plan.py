"""The parts of a launch."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from app.errors import InvalidInput
from app.launch.plan import ExchangeChoice, Plan, make, redis_socket
from app.launch.sockets import socket_path

BASE = {"PATH": os.environ["PATH"], "HOME": "/nowhere"}


@pytest.fixture
def procfile(tmp_path: Path) -> Path:
    path = tmp_path / "Procfile"
    path.write_text("web: python -m app web -n a@%h\n")
    return path


def _plan(procfile: Path, environ: dict[str, str] | None = None, market: ExchangeChoice = ExchangeChoice.LOCAL) -> Plan:
    return make(market, procfile, None, {**BASE, **(environ or {})})


def test_the_demo_uses_its_own_exchange_in_any_environment(procfile: Path) -> None:
    plan = _plan(
        procfile, {"CANDLEWICK_COINBASE__WS_URL": "wss://elsewhere", "CANDLEWICK_LAUNCH_EXCHANGE_PORT": "9001"}
    )
    assert plan.environ["CANDLEWICK_COINBASE__WS_URL"] == "ws://127.0.0.1:9001"
    assert plan.environ["CANDLEWICK_COINBASE__REST_URL"] == "http://127.0.0.1:9001"
    assert plan.environ["CANDLEWICK_COINBASE__PRODUCTS"] == "all:USD"
    assert "simulator --port 9001 --speed 60 --seed 7 --anchor-file" in plan.programs["exchange"]
    assert [(p.number, p.variable) for p in plan.ports] == [
        (8000, "CANDLEWICK_WEB_PORT"),
        (5555, "CANDLEWICK_FLOWER_PORT"),
        (9001, "CANDLEWICK_LAUNCH_EXCHANGE_PORT"),
    ]


def test_named_products_are_used_in_the_demo(procfile: Path) -> None:
    named = {"CANDLEWICK_COINBASE__PRODUCTS": "BTC-USD, ETH-USD"}
    assert _plan(procfile, named).environ.items() >= named.items()


def test_the_real_feed_has_no_local_exchange_and_separate_data(procfile: Path) -> None:
    demo, run = _plan(procfile), _plan(procfile, market=ExchangeChoice.REAL)
    assert set(run.programs) == {"web"}
    assert run.exchange_url.startswith("https://")
    assert run.environ["CANDLEWICK_REDIS_URL"] == f"unix://{redis_socket(run.folder)}"
    assert run.folder != demo.folder
    assert run.origin != demo.origin


def test_a_named_redis_is_used_unchanged(procfile: Path) -> None:
    plan = _plan(procfile, {"REDIS_URL": "redis://elsewhere:7000/3"})
    assert plan.redis is None
    assert plan.environ["REDIS_URL"] == "redis://elsewhere:7000/3"


def test_programs_find_the_python_that_runs_the_launcher_first(procfile: Path) -> None:
    assert _plan(procfile).environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"CANDLEWICK_WEB_PORT": "none"}, "CANDLEWICK_WEB_PORT"),
        ({"CANDLEWICK_LAUNCH_REDIS_PORT": "6390"}, "LAUNCH_REDIS_PORT: no such setting"),
        ({"CANDLEWICK_LAUNCH_EXCHANGE_PORT": "x"}, "CANDLEWICK_LAUNCH_EXCHANGE_PORT"),
        ({"CANDLEWICK_LAUNCH_REDIS_MAX_MEMORY": "much"}, "CANDLEWICK_LAUNCH_REDIS_MAX_MEMORY"),
        ({"CANDLEWICK_LAUNCH_SPEED": "1"}, "LAUNCH_SPEED: no such setting"),
        ({"CANDLEWICK_LAUNCH_REDIS_SERVER": "/none"}, "CANDLEWICK_LAUNCH_REDIS_SERVER"),
        (
            {"CANDLEWICK_WEB_HOST": "0.0.0.0"},
            "CANDLEWICK_WEB_HOST is '0.0.0.0', which other machines can reach.*CANDLEWICK_WEB_TOKEN",
        ),
        ({"CANDLEWICK_FLOWER_ADDRESS": "::"}, "CANDLEWICK_FLOWER_ADDRESS is '::', .*CANDLEWICK_FLOWER_BASIC_AUTH"),
    ],
)
def test_a_bad_setting_is_named_before_anything_starts(procfile: Path, environ: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        _plan(procfile, environ)
    assert not (procfile.parent / "var").exists()


def test_the_launchers_own_names_are_refused_in_the_procfile(procfile: Path) -> None:
    procfile.write_text("redis: redis-server\n")
    with pytest.raises(InvalidInput, match="'redis' is reserved by the launcher"):
        _plan(procfile)


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")])
def test_the_dashboards_address_can_be_opened(procfile: Path, host: str, url: str) -> None:
    assert (
        _plan(procfile, {"CANDLEWICK_WEB_HOST": host, "CANDLEWICK_WEB_TOKEN": "a-secret-of-16-characters"}).web_url
        == url
    )


def test_a_socket_with_a_too_long_path_is_moved() -> None:
    deep = Path("/" + "a" * 120)
    assert len(os.fsencode(socket_path(deep, "a.sock"))) < 95
    assert socket_path(deep, "a.sock") != socket_path(Path("/" + "b" * 120), "a.sock")
    assert socket_path(Path("/var/demo"), "a.sock") == Path("/var/demo/a.sock")
