"""Many commands in one trip to Redis, for where hundreds are sent at once.

A pipeline of redis-py takes some 5 µs of Python for each command, most of it to pack it. Here hiredis does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from hiredis import pack_command
from redis import Redis
from redis.exceptions import ResponseError

Command: TypeAlias = tuple[str | bytes | int, ...]


def trip(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """The answer to each of `commands`, in their order; an error of Redis stands where its answer would.

    Raises what a call of `client` does where Redis cannot be reached, after as many tries.
    """
    request = b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]  # stubs say one
    connection: Any = client.connection_pool.get_connection()
    try:
        answers: list[Any] = connection.retry.call_with_retry(
            lambda: _sent(connection, request, len(commands)), lambda _: connection.disconnect()
        )
        return answers
    finally:
        client.connection_pool.release(connection)


def transaction(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """The answers to `commands`, between which Redis does nothing else. Raises `ResponseError` too."""
    *_, answers = trip(client, [("MULTI",), *commands, ("EXEC",)])
    raise_first([answers] if isinstance(answers, Exception) else answers)
    return list(answers)


def raise_first(answers: Sequence[Any]) -> None:
    """Raise the first error among `answers`."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _sent(connection: Any, request: bytes, count: int) -> list[Any]:
    connection.send_packed_command([request])
    return [_answer(connection) for _ in range(count)]


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error  # the answers behind it have to be read all the same
