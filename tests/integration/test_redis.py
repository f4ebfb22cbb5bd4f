"""The embedded Redis: found, started, stopped, and restarted with its data."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery

from app.errors import InvalidInput, Unready
from app.launch.redis import command_line, find_server, wait_ready
from app.settings import Settings
from app.storage.address import broker_of
from app.storage.connection import connect
from tests.redis_server import RedisServer
from tests.support import Process, eventually, free_port

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_data_is_there_after_a_restart(tmp_path: Path, how: str) -> None:
    server = RedisServer(tmp_path, free_port())
    with server, redis.Redis.from_url(server.url) as client:
        client.set("a", "1")
        getattr(server, how)()
        server.start()
        assert client.get("a") == b"1"


def test_full_is_an_error_and_evicts_nothing(redis_client: redis.Redis) -> None:
    assert redis_client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert redis_client.config_get("appendonly") == {"appendonly": "yes"}
    assert redis_client.config_get("maxmemory") == {"maxmemory": str(2**30)}


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("in the way")
    with pytest.raises(Unready, match=r"ended while it was starting\n[\s\S]*appendonlydir"):
        RedisServer(tmp_path, free_port()).start()


def test_another_server_on_the_port_is_not_used(tmp_path: Path, redis_server: RedisServer) -> None:
    with pytest.raises(Unready, match=r"another server|ended while it was starting"):
        RedisServer(tmp_path, urlsplit(redis_server.url).port or 0).start()


def test_a_server_that_never_answers_is_reported() -> None:
    with pytest.raises(Unready, match=r"redis://\*\*\*@127.0.0.1:\d+/0 does not answer"):
        wait_ready(f"redis://me:secret@127.0.0.1:{free_port()}/0", seconds=0.1)


def test_a_password_that_is_missing_is_an_error_at_once(redis_client: redis.Redis, redis_url: str) -> None:
    redis_client.config_set("requirepass", "x")
    try:
        with pytest.raises(InvalidInput, match="REDIS_URL"):
            wait_ready(redis_url)
    finally:
        redis_client.config_set("requirepass", "")


@pytest.mark.parametrize("place", ["tcp", "socket"])
def test_a_password_of_any_characters_is_known_to_us_and_to_celery(tmp_path: Path, place: str) -> None:
    password, port = "s3/c#r?e@t :%", free_port()
    socket, options = tmp_path / "r.sock", ["--requirepass", password]
    command = [*command_line(find_server(os.environ), port, tmp_path), "--unixsocket", str(socket), *options]
    url = f"unix://:{password}@{socket}?db=1" if place == "socket" else f"redis://:{password}@127.0.0.1:{port}/1"
    address = Settings.from_environment({"REDIS_URL": f" {url}\n"}).redis
    process = Process(command, tmp_path / "log")
    try:
        wait_ready(address.url)
        with connect(address.url) as client:
            client.set("here", 1)
        broker, transport, _ = broker_of(address)
        with Celery(broker=broker, set_as_current=False) as app:
            app.conf.update(broker_transport_options=transport)
            with app.connection_for_write() as connection:
                assert connection.channel().client.get("here") == b"1", "the same database"
    finally:
        process.end()


def _program(folder: Path, name: str, version_line: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{version_line}'\n")
    path.chmod(0o755)
    return path


def test_an_installed_server_comes_first_unless_it_is_too_old(tmp_path: Path) -> None:
    installed = _program(tmp_path, "redis-server", "Redis server v=7.0.15 sha=0 bits=64")
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert find_server({"PATH": path}) == installed
    _program(tmp_path, "redis-server", "Redis server v=6.0.16 sha=0 bits=64")
    assert find_server({"PATH": str(tmp_path)}).name == "valkey-server"
    newer = _program(tmp_path, "valkey-server", "Valkey server v=8.1.0 sha=0 bits=64")
    assert find_server({"PATH": str(tmp_path)}) == newer


def test_a_named_server_must_be_usable(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="CANDLEWICK_LAUNCH_REDIS_SERVER"):
        find_server({}, named=str(tmp_path / "none"))
    old = _program(tmp_path, "old", "Redis server v=5.0.1 sha=0")
    with pytest.raises(InvalidInput, match=r"5\.0.*6\.2"):
        find_server({}, named=str(old))


def test_eventually_reports_the_last_value() -> None:
    with pytest.raises(AssertionError, match="last seen: 0"):
        eventually(lambda: 0, timeout=0.05)
    with pytest.raises(AssertionError, match="last seen: ZeroDivisionError"):
        eventually(lambda: 1 // 0, timeout=0.05)
