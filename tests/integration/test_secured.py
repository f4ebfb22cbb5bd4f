"""A whole installation whose Redis has a password and a user with few rights, and all possible secrets.

It works, Redis refuses nothing to that user, and no process prints a secret, whatever happens to Redis.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from app.cli import main
from app.launch.redis import command_line, find_server, wait_ready
from tests import plain
from tests.alerting import service
from tests.oracle import Exchange
from tests.support import PATIENCE_S, ROOT, Process, eventually, free_port
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.whole_system, pytest.mark.long(minutes=0.3)]

PASSWORD, TOKEN, FLOWER, HOOK, SIGNATURE, BOT, MAIL = (f"canary{number}-{'x' * 12}" for number in range(7))
SECRETS = (PASSWORD, TOKEN, FLOWER, HOOK, SIGNATURE, BOT, MAIL)
ALERTS = """
[alerts.channel.hook]
kind = "webhook"
url_env = "HOOK_URL"
secret_env = "HOOK_SECRET"
allow_private = true
[alerts.channel.telegram]
token_env = "BOT_TOKEN"
chat = "-100123"
api_url = "{url}"
allow_private = true
[alerts.channel.mail]
kind = "email"
host = "127.0.0.1"
port = {closed}
sender = "me@example.com"
to = ["you@example.com"]
user_env = "MAIL_USER"
password_env = "MAIL_PASSWORD"
"""
WRONG = "invalid username-password pair"
LINES = ("status", "products", "candles BTC-USD 5m", "indicators BTC-USD 5m", "gaps", "alerts")
APART = ("reconcile", "alerts test hook", "alerts test mail")
PROCESSES = ("ingest", "indicators", "backfill", "alerts", "beat", "web", "flower", "watchdog")


class SecuredRedis:
    """A server with the user that docs/operations.md describes; `admin` may do everything."""

    def __init__(self, start: Callable[..., Process], folder: Path) -> None:
        self._start, self._folder, self.port = start, folder, free_port()
        self.admin = redis.Redis(port=self.port, username="admin", password=PASSWORD)
        self.url = f"redis://candlewick:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self, password: str = PASSWORD) -> None:
        text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
        (rule,) = re.findall(r"^user candlewick on >PASSWORD (.*)$", text, re.MULTILINE)
        acl = self._folder / "users.acl"
        acl.write_text(
            f"user default off\nuser admin on >{PASSWORD} ~* &* +@all\nuser candlewick on >{password} {rule}\n"
        )
        command = [*command_line(find_server(os.environ), self.port, self._folder), "--aclfile", str(acl)]
        self._process = self._start(command)
        wait_ready(f"redis://admin:{PASSWORD}@127.0.0.1:{self.port}/0")

    def stop(self) -> None:
        self._process.stop()


@pytest.fixture
def secured(processes: Callable[..., Process], tmp_path: Path) -> Iterator[SecuredRedis]:
    server = SecuredRedis(processes, tmp_path)
    server.start()
    yield server
    server.admin.close()


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[System, str], str]:
    """Runs a line of the command line, and returns its output."""

    def run(system: System, line: str) -> str:
        with monkeypatch.context() as patched:
            for name, value in system.env.items():
                patched.setenv(name, value)
            main(line.split())
        outputs = capsys.readouterr()
        return outputs.out + outputs.err

    return run


def apart(system: System, line: str) -> str:
    """The same in a process of its own, for lines that change their process: logging, Celery."""
    command = [sys.executable, "-m", "app", *line.split()]
    env = {**os.environ, **system.env}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return done.stdout + done.stderr


def is_refused(system: System, name: str) -> bool:
    return WRONG in system.processes[name].output()


def test_it_works_and_prints_no_secret(
    secured: SecuredRedis,
    start_exchange: Callable[..., Exchange],
    processes: Callable[..., Process],
    cli: Callable[[System, str], str],
    tmp_path: Path,
) -> None:
    exchange = start_exchange("--seed", "7", "--start", "2021-03-04T00:00:00Z", "--speed", "200")
    web, flower, outputs = free_port(), free_port(), []
    with service() as hook:
        (tmp_path / "candlewick.toml").write_text(ALERTS.format(url=hook.url, closed=free_port()))
        env = {
            "CANDLEWICK_COINBASE__WS_URL": exchange.ws_url,
            "CANDLEWICK_COINBASE__REST_URL": exchange.rest_url,
            "CANDLEWICK_COINBASE__PRODUCTS": "BTC-USD,ETH-USD",
            "CANDLEWICK_TIMEFRAMES": "5m,15m",
            "CANDLEWICK_LOG_LEVEL": "DEBUG",
            "CANDLEWICK_WEB_PORT": str(web),
            "CANDLEWICK_WEB_TOKEN": TOKEN,
            "CANDLEWICK_FLOWER_PORT": str(flower),
            "CANDLEWICK_FLOWER_BASIC_AUTH": f"me:{FLOWER}",
            "CANDLEWICK_CONFIG": str(tmp_path / "candlewick.toml"),
            "HOOK_URL": f"{hook.url}/{HOOK}",
            "HOOK_SECRET": SIGNATURE,
            "BOT_TOKEN": f"12:{BOT}",
            "MAIL_USER": "me",
            "MAIL_PASSWORD": MAIL,
        }
        system = System(processes, secured.url, env)
        system.start(*PROCESSES)
        try:
            # It works.
            eventually(lambda: system.has_started(2), interval=0.2)
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            eventually(lambda: plain.get(f"http://127.0.0.1:{web}/readyz", headers=bearer).status_code == 200)
            assert plain.get(f"http://127.0.0.1:{web}/metrics", headers=bearer).status_code == 200
            eventually(lambda: plain.get(f"http://127.0.0.1:{flower}/workers", auth=("me", FLOWER)).status_code == 200)
            outputs += [cli(system, line) for line in LINES] + [apart(system, line) for line in APART]
            eventually(lambda: hook.got)
            assert secured.admin.acl_log() == [], "something was refused to the user of the documentation"
            # Redis goes, and comes back with another password.
            secured.stop()
            assert plain.get(f"http://127.0.0.1:{web}/v1/products", headers=bearer).status_code == 503
            outputs.append(cli(system, "status"))
            secured.start(password="another")
            eventually(lambda: is_refused(system, "watchdog"))
            # Celery's worker may end or hang when it loses Redis, until its heartbeat detects it, which needs Redis.
            workers = ("indicators", "backfill", "alerts")
            for name in workers:
                outputs.append(system.processes[name].output())
                system.processes[name].end()
                system.start(name)
            eventually(lambda: all(is_refused(system, name) for name in workers))
            assert plain.get(f"http://127.0.0.1:{web}/v1/products", headers=bearer).status_code == 503
            outputs.append(cli(system, "status"))
            assert WRONG in outputs[-1]
        finally:
            system.context.redis.close()
    everything = {name: process.output() for name, process in system.processes.items()} | {"cli": "\n".join(outputs)}
    assert {name for name, text in everything.items() for secret in SECRETS if secret in text} == set()
    assert all(everything.values()), "each process said something"
