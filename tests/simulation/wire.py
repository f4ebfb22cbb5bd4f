"""The connection to the real Redis: one socket for all simulated processes, with virtual time and a place to switch.

An actor may be switched, killed or cut off before each round trip to Redis; a round trip itself is not divided. `TIME`
is answered from a key that is set to the virtual time before each round trip in which it changed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar
from zlib import crc32

import hiredis
import redis
from hiredis import pack_command
from redis._parsers.base import BaseParser
from redis.client import Pipeline

_TIME_KEY = "simulation:time"
_TIME_COMMAND = pack_command(("TIME",))
_READ_TIME = pack_command(("HMGET", _TIME_KEY, "s", "u"))

_SCRIPT = b"$7\r\nEVALSHA\r\n"

_QUEUE = b":backfill:"
_END = b"simulation: the end"

CLOCK_STEP_US = 1000
"""Step by which Redis' clock follows the virtual one: each step costs a command."""

T = TypeVar("T")


def with_virtual_time(script: str) -> str:
    """The Lua `script`, which reads the key instead of `TIME`."""
    changed = script.replace("call('TIME')", f"call('HMGET', '{_TIME_KEY}', 's', 'u')")
    assert "TIME'" not in changed, "a script reads the time in another way"
    return changed


class Wire:
    """The one real connection. `fingerprint` is a checksum of everything sent."""

    def __init__(self, path: str, now_us: Callable[[], int]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._reader = hiredis.Reader(replyError=BaseParser.parse_error)
        self._now_us = now_us
        self._clock_us = -1
        self._set_clock = b""
        self._to_skip = 0
        self._buffer = bytearray(1 << 20)
        self.calls = 0
        self.fingerprint = 0
        self.queue_changed = True
        """Whether something was sent about the backfill queue since this was last set to False."""

    def restart(self, now_us: Callable[[], int]) -> None:
        """Start with an empty database and another clock."""
        self._now_us = now_us
        self.flush()
        self.call("SCRIPT", "FLUSH")
        self.calls = self.fingerprint = 0
        self.queue_changed = True

    def flush(self) -> None:
        """Redis loses its data."""
        self._clock_us = self._now_us()  # or the time would be sent before
        self.send(pack_command(("FLUSHALL",)))
        self.read()
        self._clock_us, self._set_clock = -1, b""

    def send(self, data: bytes) -> None:
        self.calls += 1
        self.fingerprint = crc32(data, self.fingerprint)
        if _QUEUE in data:
            self.queue_changed = True
        if _TIME_COMMAND in data:
            data = data.replace(_TIME_COMMAND, _READ_TIME)
        now_us = self._now_us()
        if not self._clock_us <= now_us < self._clock_us + CLOCK_STEP_US:
            self._clock_us = now_us
            seconds, micros = divmod(now_us, 1_000_000)
            self._set_clock = pack_command(("HSET", _TIME_KEY, "s", seconds, "u", micros))
        if self._set_clock and (_SCRIPT in data or _READ_TIME in data):  # others do not read it
            data = self._set_clock + data
            self._set_clock = b""
            self._to_skip += 1
        self._socket.sendall(data)

    def read(self) -> Any:
        while self._to_skip:
            self._to_skip -= 1
            self._next()
        answer = self._next()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _next(self) -> Any:
        while (answer := self._reader.gets()) is False:
            size = self._socket.recv_into(self._buffer)
            if not size:
                raise EOFError("the real Redis ended")
            self._reader.feed(self._buffer, 0, size)
        return answer

    def drain(self) -> None:
        """Read and drop all pending responses."""
        self.send(pack_command(("ECHO", _END)))
        while self._next() != _END:
            self._to_skip = 0

    def call(self, *command: str | bytes | int) -> Any:
        """Run one command of the simulation itself."""
        return self.call_all([command])[0]

    def call_all(self, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
        """Run several commands in one round trip."""
        self.send(b"".join(map(pack_command, commands)))
        return [self.read() for _ in commands]

    def close(self) -> None:
        self._socket.close()


class Gate(Protocol):
    """Stands between one simulated process and Redis."""

    def before(self) -> None:
        """Called before a round trip: others may run here. May raise an error in place of a response."""

    def loses_reply(self) -> bool:
        """Whether the connection breaks after Redis has run the commands, before its responses arrive."""


class _Retry:
    """Like the project's clients: one more try, at once."""

    def call_with_retry(self, do: Callable[[], T], fail: Callable[[redis.RedisError], object], **_: Any) -> T:
        try:
            return do()
        except redis.ConnectionError as error:
            fail(error)
            return do()


class Connection:
    """The interface used by `app.storage.pipelining` and the clients below."""

    retry = _Retry()

    def __init__(self, wire: Wire, gate: Gate) -> None:
        self._wire = wire
        self._gate = gate

    def send_packed_command(self, command: Iterable[bytes], check_health: bool = True) -> None:  # noqa: ARG002
        self._wire.send(b"".join(command))
        if self._gate.loses_reply():
            self._wire.drain()
            raise redis.ConnectionError("Connection closed by server.")

    def read_response(self, **_: Any) -> Any:
        return self._wire.read()

    def disconnect(self) -> None:
        pass


class Pool(redis.ConnectionPool):
    """Returns the one connection, after passing the gate."""

    def __init__(self, wire: Wire, gate: Gate) -> None:
        super().__init__(protocol=2)
        self._gate = gate
        self._connection = Connection(wire, gate)

    def get_connection(self, *_: Any, **__: Any) -> Any:
        self._gate.before()
        return self._connection

    def release(self, connection: Any) -> None:
        pass


class Client(redis.Redis):
    """The client of one simulated process."""

    def __init__(self, wire: Wire, gate: Gate) -> None:
        super().__init__(connection_pool=Pool(wire, gate))

    def execute_command(self, *args: Any, **options: Any) -> Any:
        connection = self.connection_pool.get_connection()
        packed = [pack_command((*args[0].split(), *args[1:]))]  # "SCRIPT LOAD" is two arguments
        try:
            connection.send_packed_command(packed)
        except redis.ConnectionError:
            connection.send_packed_command(packed)
        return self.parse_response(connection, args[0], **options)

    def parse_response(self, connection: Any, command_name: str | bytes, **options: Any) -> Any:
        return _parsed(self.response_callbacks, command_name, connection.read_response(), options)

    def scan_iter(self, match: Any = None, *_: Any, **__: Any) -> Iterator[Any]:
        """Sorted: the server's order depends on a random number drawn at its start."""
        return iter(sorted(self.keys(match)))

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        pool, callbacks = self.connection_pool, self.response_callbacks
        return _Pipeline(pool, callbacks, transaction=transaction, shard_hint=shard_hint)


class _Pipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, pool, callbacks = self.command_stack, self.connection_pool, self.response_callbacks
        if not stack:
            return []
        connection = pool.get_connection()
        commands: Sequence[Any] = [args for args, _ in stack]
        if self.transaction:
            connection.send_packed_command(map(pack_command, [("MULTI",), *commands, ("EXEC",)]))
            for _ in range(len(stack) + 1):
                connection.read_response()
            raw = connection.read_response()
            answers = [_parsed(callbacks, c[0], r, {}) for c, r in zip(commands, raw, strict=True)]
        else:
            connection.send_packed_command(map(pack_command, commands))
            answers = [_parsed(callbacks, args[0], connection.read_response(), options) for args, options in stack]
        self.reset()
        if raise_on_error:
            self.raise_first_error(stack, answers)
        return answers


def _parsed(callbacks: Any, name: Any, answer: Any, options: dict[str, Any]) -> Any:
    """Like the parsing of redis-py, without its options."""
    callback = callbacks.get(name)
    options.pop("keys", None)
    return answer if callback is None else callback(answer, **options)
