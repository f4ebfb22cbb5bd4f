"""The known exchanges: those in this package, and those that other packages add as entry points.

An entry point of the group `candlewick.exchanges` names a `Venue` (`name = "package.module:VENUE"`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points

from app.errors import InvalidInput
from app.exchange.venue import Venue

GROUP = "candlewick.exchanges"

_BUILT_IN = {"coinbase": "app.exchange.coinbase.venue:VENUE"}
"""Known without metadata: a checkout is not installed."""


@cache
def names() -> tuple[str, ...]:
    """The names of all known exchanges."""
    return tuple(sorted({*_BUILT_IN, *(point.name for point in entry_points(group=GROUP))}))


@cache
def venue(name: str) -> Venue:
    """The exchange called `name`. Raises `InvalidInput`, which lists the known ones."""
    if place := _BUILT_IN.get(name):
        module, _, attribute = place.partition(":")
        found = getattr(import_module(module), attribute)
    else:
        points = entry_points(group=GROUP, name=name)
        if not points:
            raise InvalidInput(f"unknown exchange {name[:40]!r}: use one of {', '.join(names())}")
        found = next(iter(points)).load()
    if not isinstance(found, Venue) or found.name != name:
        raise InvalidInput(f"the package that adds the exchange {name!r} does not name a Venue called {name!r}")
    return found
