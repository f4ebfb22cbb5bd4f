"""Read entries that other programs may have written. An unreadable entry is left out; the others are read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

E = TypeVar("E")
T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_REMEMBERED = 1_000
"""Bad entries that are not logged again. Beyond this number, they are logged once more."""

_logged: set[tuple[str, str]] = set()


def readable(where: str, entries: Iterable[E], read: Callable[[E], T]) -> list[T]:
    """`read` of each of `entries`. An unreadable one is left out, and logged once per process."""
    found = []
    for entry in entries:
        try:
            found.append(read(entry))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            note(where, entry, error)
    return found


def or_none(where: str, read: Callable[[E], T]) -> Callable[[E], T | None]:
    """`read` for one entry: None if that is empty or unreadable."""
    return lambda entry: next(iter(readable(where, [entry], read)), None) if entry else None


def counts_of(counters: Mapping[bytes, bytes]) -> dict[str, int]:
    """The values of a hash of counters."""
    return dict(readable("counters", counters.items(), lambda entry: (entry[0].decode(), int(entry[1]))))


def note(where: str, entry: object, error: Exception) -> None:
    """Log that `entry` of `where` is left out, once per process."""
    shown = ascii(entry)[:120]
    if (where, shown) in _logged:
        return
    if len(_logged) >= MAX_REMEMBERED:
        _logged.clear()
    _logged.add((where, shown))
    log.warning("%s: left out an unreadable entry: %s (%s)", where, shown, str(error).split("\n")[0][:120])
