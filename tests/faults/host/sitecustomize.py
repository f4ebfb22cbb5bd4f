"""Fakes the time of day and the addresses of host names for a process. Python imports it if its folder is in
PYTHONPATH.

The file named by FAKE_CLOCK holds the offset in the format of libfaketime (`+5h`), so one file sets the clock of every
process that reads it, not only of Python. Monotonic clocks stay true, as they do when a clock is set. The file named by
FAKE_NAMES holds one line per host name: the name, and its addresses in order.
"""

import datetime as _datetime
import os
import socket as _socket
import time as _time
from pathlib import Path

_CLOCK, _NAMES, _READ_EVERY_S = os.environ.get("FAKE_CLOCK"), os.environ.get("FAKE_NAMES"), 0.2
_time_of_day, _time_of_day_ns, _real = _time.time, _time.time_ns, _datetime.datetime
_addresses_of = _socket.getaddrinfo
_seen = (0.0, 0.0)


def _offset_s() -> float:
    global _seen
    now = _time.monotonic()
    if now - _seen[0] > _READ_EVERY_S:
        text = Path(_CLOCK or "").read_text().strip().removesuffix("h")
        _seen = (now, float(text) * 3600 if text else _seen[1])
    return _seen[1]


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real)


class datetime(_real, metaclass=_AnyDatetime):  # noqa: N801
    """The standard class, except for the present time."""

    @classmethod
    def now(cls, tz=None):  # type: ignore[no-untyped-def]
        return cls.fromtimestamp(_time.time(), tz)

    @classmethod
    def utcnow(cls):  # type: ignore[no-untyped-def]
        return cls.fromtimestamp(_time.time(), _datetime.UTC).replace(tzinfo=None)


def _getaddrinfo(host, port, *arguments, **options):  # type: ignore[no-untyped-def]
    lines = (line.split() for line in Path(_NAMES or "").read_text().splitlines())
    known = {name: addresses for name, *addresses in lines}
    return [found for one in known.get(host, [host]) for found in _addresses_of(one, port, *arguments, **options)]


if _CLOCK:
    _time.time = lambda: _time_of_day() + _offset_s()
    _time.time_ns = lambda: _time_of_day_ns() + int(_offset_s() * 1e9)
    _datetime.datetime = datetime  # type: ignore[misc]
if _NAMES:
    _socket.getaddrinfo = _getaddrinfo
