"""The current world: the project's modules are patched once, not for each seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

_world: World | None = None


def world() -> World:
    assert _world is not None
    return _world


def process() -> Process:
    """The process whose code runs now."""
    actor = world().scheduler.current
    assert actor is not None
    return world().owners[actor]


@contextmanager
def running(one: World) -> Iterator[None]:
    """Make `one` the world of the patched modules."""
    global _world
    _world = one
    try:
        yield
    finally:
        _world = None
