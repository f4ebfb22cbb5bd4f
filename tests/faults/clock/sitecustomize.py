"""Shows a process another time of day: Python imports this by itself where the folder is in PYTHONPATH.

The file that FAKE_CLOCK names holds the offset as libfaketime writes it (`+5h`), so that one file sets the clock of
every process, those that are not Python included. Monotonic clocks stay true, as they do when a clock is set.
"""

import datetime as _datetime
import os
import time as _time
from pathlib import Path

_FILE, _LOOK_EVERY_S = Path(os.environ["FAKE_CLOCK"]), 0.2
_time_of_day, _time_of_day_ns, _real = _time.time, _time.time_ns, _datetime.datetime
_seen = (0.0, 0.0)


def _offset_s() -> float:
    global _seen
    now = _time.monotonic()
    if now - _seen[0] > _LOOK_EVERY_S:
        text = _FILE.read_text().strip().removesuffix("h")
        _seen = (now, float(text) * 3600 if text else _seen[1])
    return _seen[1]


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real)


class datetime(_real, metaclass=_AnyDatetime):  # noqa: N801
    """The standard class, but for the present time."""

    @classmethod
    def now(cls, tz=None):  # type: ignore[no-untyped-def]
        return cls.fromtimestamp(_time.time(), tz)

    @classmethod
    def utcnow(cls):  # type: ignore[no-untyped-def]
        return cls.fromtimestamp(_time.time(), _datetime.UTC).replace(tzinfo=None)


_time.time = lambda: _time_of_day() + _offset_s()
_time.time_ns = lambda: _time_of_day_ns() + int(_offset_s() * 1e9)
_datetime.datetime = datetime  # type: ignore[misc]
