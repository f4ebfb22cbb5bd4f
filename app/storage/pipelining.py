"""Many commands in one trip to Redis, for where hundreds are sent at once.

A pipeline of redis-py takes some 5 µs of Python for each command, most of it to pack it, and sends nothing before all
is packed. Here hiredis packs, and Redis begins meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from hiredis import pack_command
from redis import Redis
from redis.exceptions import ResponseError

Command: TypeAlias = tuple[str | bytes | int, ...]

SEND_BYTES = 16_384
"""Of packed commands, from which on they are sent."""


def send_pipelined(client: Redis, commands: Iterable[Command]) -> list[Any]:
    """The answer to each of `commands`, in their order; an error of Redis stands where its answer would.

    `commands` may be made as they are sent. Raises what a call of `client` does where Redis cannot be reached, after as
    many tries.
    """
    connection: Any = client.connection_pool.get_connection()
    sent: list[tuple[bytes, int]] = []
    more = _packed(commands)

    def once() -> list[Any]:
        for request, _ in sent:  # at another try
            connection.send_packed_command([request])
        for part in more:
            sent.append(part)
            connection.send_packed_command([part[0]])
        return [_answer(connection) for _ in range(sum(count for _, count in sent))]

    try:
        answers: list[Any] = connection.retry.call_with_retry(once, lambda _: connection.disconnect())
        return answers
    except BaseException:
        connection.disconnect()  # or the answers that nobody has read would be taken for those of the next commands
        raise
    finally:
        client.connection_pool.release(connection)


def transaction(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """The answers to `commands`, between which Redis does nothing else. Raises `ResponseError` too."""
    *_, answers = send_pipelined(client, [("MULTI",), *commands, ("EXEC",)])
    raise_first([answers] if isinstance(answers, Exception) else answers)
    return list(answers)


def raise_first(answers: Sequence[Any]) -> None:
    """Raise the first error among `answers`."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _packed(commands: Iterable[Command]) -> Iterator[tuple[bytes, int]]:
    """What to send at once, and how many commands that are."""
    pieces: list[bytes] = []
    size = 0
    for command in commands:
        pieces.append(pack_command(command))  # type: ignore[arg-type]  # its stubs know of one argument only
        size += len(pieces[-1])
        if size >= SEND_BYTES:
            yield b"".join(pieces), len(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces), len(pieces)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error  # the answers behind it have to be read all the same
