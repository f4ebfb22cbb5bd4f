"""Redis over TLS, for our own connections and for Celery's: only servers with a valid certificate are used.

The server of the Python packages has no TLS; Debian's has (`redis-server`, or the same program in `redis-tools`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trustme
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import ConnectionError, RedisError

from app.errors import InvalidInput
from app.launch.redis import command_line, wait_ready
from app.settings import Settings
from app.storage.address import Address, broker_of
from app.storage.connection import connect
from tests.support import ROOT, Process, eventually, free_port

pytestmark = pytest.mark.integration

PASSWORD = "canary-77fe-redis"
PROGRAM = shutil.which("redis-server") or shutil.which("redis-check-rdb")


class TlsRedis:
    def __init__(self, start: Callable[..., Process], folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost")
        self.ca, pem, self.port = folder / "ca.pem", folder / "redis.pem", free_port()
        authority.cert_pem.write_to_path(str(self.ca))
        certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
        program = folder / "redis-server"  # chosen by the name of the program
        program.symlink_to(str(PROGRAM))
        tls = {
            "tls-port": str(self.port),
            "tls-cert-file": str(pem),
            "tls-key-file": str(pem),
            "tls-auth-clients": "no",
        }
        options = [part for name, value in {**tls, "requirepass": PASSWORD}.items() for part in (f"--{name}", value)]
        self.process = start([*command_line(program, 0, folder), *options])
        wait_ready(self.url())

    def url(self, host: str = "localhost", *, trusted: bool = True) -> str:
        query = f"?ssl_ca_certs={self.ca}" if trusted else ""
        return f"rediss://:{PASSWORD}@{host}:{self.port}/0{query}"


@pytest.fixture
def server(processes: Callable[..., Process], tmp_path: Path) -> TlsRedis:
    if PROGRAM is None:
        pytest.skip("no Redis with TLS here: apt install redis-tools")
    return TlsRedis(processes, tmp_path)


def ping(url: str) -> bool:
    with closing(connect(url, tries=0)) as client:
        return bool(client.ping())


def ping_as_celery(url: str) -> bool:
    broker, options, ssl = broker_of(Address.parse(url))
    with Celery(broker=broker, set_as_current=False) as app:
        app.conf.update(broker_transport_options=options, broker_use_ssl=ssl)
        with app.connection_for_write() as connection:
            return bool(connection.channel().client.ping())


@pytest.mark.parametrize("connects", [ping, ping_as_celery])
def test_only_a_server_with_a_valid_certificate_is_used(server: TlsRedis, connects: Callable[[str], bool]) -> None:
    assert connects(server.url())
    with pytest.raises((ConnectionError, OperationalError), match="certificate verify failed"):
        connects(server.url(trusted=False))
    with pytest.raises((ConnectionError, OperationalError), match="mismatch"):
        connects(server.url("127.0.0.1"))


@pytest.mark.parametrize("connects", [ping, ping_as_celery])
def test_sentinels_with_their_own_password_are_queried_over_tls(
    server: TlsRedis, processes: Callable[..., Process], tmp_path: Path, connects: Callable[[str], bool]
) -> None:
    port = free_port()
    (tmp_path / "sentinel.conf").write_text(
        f"port 0\ntls-port {port}\ntls-cert-file {tmp_path}/redis.pem\ntls-key-file {tmp_path}/redis.pem\n"
        f"tls-ca-cert-file {server.ca}\ntls-auth-clients no\ntls-replication yes\nrequirepass of-sentinels\n"
        f"sentinel resolve-hostnames yes\nsentinel announce-hostnames yes\n"
        f"sentinel monitor candles localhost {server.port} 1\nsentinel auth-pass candles {PASSWORD}\n"
    )
    processes([str(tmp_path / "redis-server"), str(tmp_path / "sentinel.conf"), "--sentinel"])
    login, options = f":{PASSWORD}@", f"ssl_ca_certs={server.ca}"
    url = f"rediss+sentinel://{login}localhost:{port}/candles/0?{options}&sentinel_password=of-sentinels"
    eventually(lambda: connects(url))
    with pytest.raises(
        RedisError, match=rf"^no Sentinel at localhost:{port} names .* 'candles' \(AuthenticationError\)$"
    ):
        connect(url.replace("of-sentinels", "wrong"), tries=0).ping()


def test_a_worker_takes_tasks_over_it(server: TlsRedis, processes: Callable[..., Process]) -> None:
    env = {"REDIS_URL": server.url()}
    command = [sys.executable, "-m", "workers", "worker", "-Q", "alerts", "-P", "threads", "-c", "1"]
    worker = processes(command, env=env, cwd=ROOT)
    command = [sys.executable, "-c", "from app.context import Context; Context.from_environment().tasks.deliver()"]
    assert processes(command, env=env).wait() == 0
    with closing(connect(server.url())) as client:
        eventually(lambda: "ready" in worker.output())
        eventually(lambda: not client.exists("cw:2:celery:alerts", "cw:2:celery:unacked"))
    assert PASSWORD not in worker.output()
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("nothing", r"cannot be read \(No such file or directory\)"),
        ("folder", "is a folder, not a file"),
        ("pipe", "is not a file"),
        ("key", r"holds no certificate \(PEM\)"),
    ],
)
def test_an_invalid_certificate_file_is_named_at_once(tmp_path: Path, what: str, problem: str) -> None:
    path = tmp_path / "ca.pem"
    if what == "folder":
        path.mkdir()
    if what == "pipe":
        os.mkfifo(path)
    if what == "key":
        trustme.CA().private_key_pem.write_to_path(str(path))
    env = {"REDIS_URL": f"rediss://:{PASSWORD}@localhost:1/0"}
    with pytest.raises(InvalidInput, match=rf"CANDLEWICK_REDIS_CA_FILE: {problem}.*\(it is '{path}'\)"):
        Settings.from_environment({**env, "CANDLEWICK_REDIS_CA_FILE": str(path)})
    for option in ("ssl_ca_certs", "ssl_certfile"):
        with pytest.raises(InvalidInput, match=f"REDIS_URL: names an {option} that ") as seen:
            Settings.from_environment({"REDIS_URL": f"{env['REDIS_URL']}?{option}={path}"})
        assert PASSWORD not in str(seen.value)


def test_a_key_without_its_certificate_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    trustme.CA().private_key_pem.write_to_path(str(path))
    with pytest.raises(InvalidInput, match="names an ssl_keyfile without the ssl_certfile that it belongs to"):
        Settings.from_environment({"REDIS_URL": f"rediss://localhost:1/0?ssl_keyfile={path}"})


@pytest.mark.parametrize("module", ["app.launch", "app", "workers"])
def test_no_process_starts_with_such_a_file(processes: Callable[..., Process], module: str) -> None:
    arguments = {"app.launch": ["run"], "app": ["ingest"], "workers": ["beat"]}[module]
    env = {"REDIS_URL": "rediss://localhost:1/0", "CANDLEWICK_REDIS_CA_FILE": "/no/ca.pem"}
    process = processes([sys.executable, "-m", module, *arguments], env=env, cwd=ROOT)
    assert process.wait() != 0
    assert "CANDLEWICK_REDIS_CA_FILE: cannot be read (No such file or directory)" in process.output()
    assert "Traceback" not in process.output()
