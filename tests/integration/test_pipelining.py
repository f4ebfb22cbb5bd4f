"""Many commands at once on a real Redis: every response in its place, whatever the commands are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import ConnectionError, NoScriptError, ResponseError

from app.storage.connection import connect
from app.storage.pipelining import SEND_BYTES, Command, send_pipelined, transaction
from app.storage.scripts import Script
from tests.redis_server import RedisServer
from tests.support import free_port

pytestmark = pytest.mark.integration


def test_responses_are_in_the_order_of_the_commands(redis_client: redis.Redis) -> None:
    value = bytes(range(256)) * 500
    commands = [("SET", "a", value), ("GET", "a"), ("STRLEN", b"a"), ("SETRANGE", "b", 3, "x"), ("LRANGE", "no", 0, -1)]
    assert send_pipelined(redis_client, commands) == [b"OK", value, len(value), 4, []]
    assert send_pipelined(redis_client, []) == []


def test_an_error_is_in_its_place_and_the_connection_stays_usable(redis_client: redis.Redis) -> None:
    first, wrong, last = send_pipelined(redis_client, [("SET", "a", 1), ("LPUSH", "a", 2), ("INCR", "a")])
    assert (first, last) == (b"OK", 2)
    assert isinstance(wrong, ResponseError)
    assert send_pipelined(redis_client, [("GET", "a")]) == [b"2"]


def test_an_unsendable_command_leaves_no_response_for_the_next(redis_client: redis.Redis) -> None:
    many = [("GET", "a" * SEND_BYTES), ("GET", "b" * SEND_BYTES), ("GET", None)]
    with pytest.raises(TypeError):
        send_pipelined(redis_client, many)  # type: ignore[arg-type]
    assert send_pipelined(redis_client, [("SET", "a", 1), ("GET", "a")]) == [b"OK", b"1"]


def test_a_connection_that_breaks_while_commands_are_made_is_made_again(
    redis_client: redis.Redis, redis_url: str
) -> None:
    def commands() -> Iterator[Command]:
        for n in range(20):
            if n == 7:
                redis_client.client_kill_filter(_type="normal", skipme=True)
            yield "SET", f"key {n}", str(n) * SEND_BYTES

    with connect(redis_url, tries=2) as client:
        assert send_pipelined(client, commands()) == [b"OK"] * 20
    assert [redis_client.strlen(f"key {n}") for n in (0, 6, 7, 19)] == [SEND_BYTES] * 3 + [2 * SEND_BYTES]


@pytest.mark.parametrize("wrong", [("LPUSH", "a", 2), ("NO SUCH COMMAND",)], ids=["while it runs", "before it runs"])
def test_an_error_in_a_transaction_is_raised_and_the_connection_stays_usable(
    redis_client: redis.Redis, wrong: tuple[str | int, ...]
) -> None:
    with pytest.raises(ResponseError):
        transaction(redis_client, [("SET", "a", 1), wrong, ("GET", "a")])
    assert transaction(redis_client, [("SET", "a", 3), ("GET", "a")]) == [b"OK", b"3"]


def test_a_cut_connection_is_made_again(redis_client: redis.Redis, redis_url: str) -> None:
    with connect(redis_url) as client:
        client.set("a", 1)
        redis_client.client_kill_filter(_type="normal", skipme=True)
        assert send_pipelined(client, [("GET", "a")]) == [b"1"]


def test_if_redis_is_down_it_raises_like_a_client_and_works_again_later(tmp_path: Path) -> None:
    port = free_port()
    with RedisServer(tmp_path, port) as server, connect(server.url) as client:
        send_pipelined(client, [("SET", "a", 1)])
        url = server.url
    with pytest.raises(ConnectionError):
        send_pipelined(client, [("GET", "a")])
    with RedisServer(tmp_path, port) as server:
        assert server.url == url
        assert send_pipelined(client, [("GET", "a")]) == [b"1"]


def test_a_lost_script_is_loaded_and_only_unrun_calls_are_sent_again(
    redis_client: redis.Redis,
) -> None:
    append = Script(redis_client, "return redis.call('APPEND', KEYS[1], ARGV[1])")
    assert append(["a"], ["x"]) == 1
    redis_client.script_flush()
    assert append.run_pipelined([(["a"], ["y"]), (["a"], ["z"])]) == [2, 3]
    assert redis_client.get("a") == b"xyz"


def test_an_error_of_a_script_is_raised(redis_client: redis.Redis) -> None:
    with pytest.raises(ResponseError, match="why") as raised:
        Script(redis_client, "return redis.error_reply('ERR this is why')")([])
    assert not isinstance(raised.value, NoScriptError)
