"""Many commands in one round trip to Redis, for hundreds at once.

hiredis packs the commands, and Redis starts during the packing. With a pipeline of redis-py, 700 closes and their
indicators take 7 to 12 % more processor time (`benchmarks.bench_tricks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from hiredis import pack_command
from redis import Redis
from redis.exceptions import ResponseError

Command: TypeAlias = tuple[str | bytes | int, ...]

SEND_BYTES = 16_384
"""Size of packed commands from which they are sent."""


def send_pipelined(client: Redis, commands: Iterable[Command]) -> list[Any]:
    """The response to each of `commands`, in order. An error of Redis is returned in place of the response.

    `commands` may be generated during sending. If Redis is unreachable, retries and raises like any call of `client`.
    """
    connection: Any = client.connection_pool.get_connection()
    sent: list[tuple[bytes, int]] = []
    more = _packed(commands)

    def once() -> list[Any]:
        for request, _ in sent:  # on a retry
            connection.send_packed_command([request])
        for part in more:
            sent.append(part)
            connection.send_packed_command([part[0]])
        return [_answer(connection) for _ in range(sum(count for _, count in sent))]

    try:
        answers: list[Any] = connection.retry.call_with_retry(once, lambda _: connection.disconnect())
        return answers
    except BaseException:
        connection.disconnect()  # otherwise the next commands would receive the unread responses
        raise
    finally:
        client.connection_pool.release(connection)


def transaction(client: Redis, commands: Sequence[Command]) -> list[Any]:
    """The responses to `commands`, run in one transaction. Raises `ResponseError` too."""
    *_, answers = send_pipelined(client, [("MULTI",), *commands, ("EXEC",)])
    raise_first([answers] if isinstance(answers, Exception) else answers)
    return list(answers)


def raise_first(answers: Sequence[Any]) -> None:
    """Raise the first error among `answers`."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer


def _packed(commands: Iterable[Command]) -> Iterator[tuple[bytes, int]]:
    """Packed commands to send at once, and their number."""
    pieces: list[bytes] = []
    size = 0
    for command in commands:
        pieces.append(pack_command(command))  # type: ignore[arg-type]  # its stubs allow only one argument
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
        return error  # the responses after it must still be read
