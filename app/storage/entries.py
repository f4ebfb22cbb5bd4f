"""Reading entries that somebody else may have written: one that cannot be read costs itself, not all the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

E = TypeVar("E")
T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_REMEMBERED = 1_000
"""Bad entries that are not logged again; beyond that they are logged once more."""

_logged: set[tuple[str, str]] = set()


def readable(where: str, entries: Iterable[E], read: Callable[[E], T]) -> list[T]:
    """`read` of each of `entries`. One that it cannot read is left out, and named in the log once per process."""
    found = []
    for entry in entries:
        try:
            found.append(read(entry))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            note(where, entry, error)
    return found


def counts_of(counters: Mapping[bytes, bytes]) -> dict[str, int]:
    """The numbers in a hash of counters."""
    return dict(readable("counters", counters.items(), lambda entry: (entry[0].decode(), int(entry[1]))))


def note(where: str, entry: object, error: Exception) -> None:
    """Log that `entry` of `where` is left out, once per process."""
    shown = ascii(entry)[:120]
    if (where, shown) in _logged:
        return
    if len(_logged) >= MAX_REMEMBERED:
        _logged.clear()
    _logged.add((where, shown))
    log.warning("%s: an entry cannot be read and is left out: %s (%s)", where, shown, str(error).split("\n")[0][:120])
