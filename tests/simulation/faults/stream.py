"""Links break, fall silent, or lose frames."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulation.faults.registry import HOUR_S, Heal, fault
from tests.simulation.plan import Liar

if TYPE_CHECKING:
    from tests.simulation.feed import Link
    from tests.simulation.world import World


def _links(world: World, chance: random.Random) -> list[Link]:
    """All links, or only the first."""
    return world.links[:] if chance.random() < 0.5 else world.links[:1]


def _with(world: World, chance: random.Random, **changes: object) -> Heal:
    links = _links(world, chance)

    def put(values: dict[str, object]) -> None:
        for link in links:
            for name, value in values.items():
                setattr(link.faults, name, value)

    put(changes)
    return lambda: put({name: type(value)() for name, value in changes.items()})


@fault("links cut", 1, 1800)
def links_cut(world: World, chance: random.Random) -> Heal:
    world.refuses_links = True
    for link in _links(world, chance):
        link.cut("connection reset")
    return lambda: setattr(world, "refuses_links", False)


@fault("links cut again and again", 60, 1800)
def links_flap(world: World, chance: random.Random) -> Heal:
    state = {"on": True}

    def flap() -> None:
        if state["on"]:
            for link in world.links[:]:
                link.cut("closed by the exchange: 1001")
            world.scheduler.after(chance.uniform(1, 200), flap)

    flap()
    return lambda: state.update(on=False)


@fault("socket silent", 1, 120, deceives=Liar.STREAM)
def socket_silent(world: World, chance: random.Random) -> Heal:
    return _with(world, chance, frozen=True)


@fault("candles channel silent", 5, HOUR_S, deceives=Liar.STREAM)
def candles_silent(world: World, chance: random.Random) -> Heal:
    return _with(world, chance, no_candles=True)


@fault("one product silent", 5, HOUR_S, deceives=Liar.STREAM)
def product_silent(world: World, chance: random.Random) -> Heal:
    return _with(world, chance, silent_product=chance.choice(list(world.venue.trade_logs)))


@fault("heartbeats silent", 5, 600)
def beats_silent(world: World, chance: random.Random) -> Heal:
    return _with(world, chance, no_beats=True)


@fault("frames dropped", 1, 1800)
def frames_dropped(world: World, chance: random.Random) -> Heal:
    return _with(world, chance, drops=chance.uniform(0.05, 0.6))


@fault("frames doubled", 1, 1800)
def frames_doubled(world: World, chance: random.Random) -> Heal:
    return _with(world, chance, doubles=0.5)


@fault("frames out of order", 1, 1800)
def frames_swapped(world: World, chance: random.Random) -> Heal:
    return _with(world, chance, swaps=0.3)


@fault("server restarted: the open bucket counts from zero", 1, 1)
def restarts_from_zero(world: World, _: random.Random) -> None:
    world.zero_ms = world.scheduler.now_ms
    for link in world.links[:]:
        link.cut("closed by the exchange: 1001")


@fault("updates late", 10, HOUR_S, deceives=Liar.STREAM)
def updates_late(world: World, chance: random.Random) -> Heal:
    world.update_delay_s = (0.1, chance.choice((4.0, 28.0)))
    return lambda: setattr(world, "update_delay_s", world.USUAL_DELAY_S)


@fault("last update of a bucket missing", 300, HOUR_S, deceives=Liar.STREAM)
def no_last_update(world: World, _: random.Random) -> Heal:
    world.skips_last = True
    return lambda: setattr(world, "skips_last", False)
