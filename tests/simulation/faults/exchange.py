"""The exchange is down, changes its clock, its data or its listing."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulation.faults.registry import HOUR_S, Heal, fault
from tests.simulation.market import STEP_S
from tests.simulation.plan import Liar

if TYPE_CHECKING:
    from tests.simulation.world import World


@fault("outage of the exchange", 10, HOUR_S)
def outage(world: World, _: random.Random) -> Heal:
    world.venue.down = True
    for link in world.links[:]:
        link.cut("closed by the exchange: 1001")
    return lambda: setattr(world.venue, "down", False)


@fault("the exchange's clock leaps, and is taken back", 5, 900, deceives=Liar.REST)
def clock_leaps(world: World, chance: random.Random) -> Heal:
    """Until it is undone, future buckets are over and empty."""
    hours = chance.choice((0.2, 1.0, 5.0, 48.0, -0.2, -2.0))
    world.venue.leap_ms = int(hours * HOUR_S * 1000)
    world.venue.rest_leaps = chance.random() < 0.3

    def back() -> None:
        world.venue.leap_ms, world.venue.rest_leaps = 0, False

    return back


def _revise(world: World, chance: random.Random, *, announced: bool) -> None:
    product, trade_log = chance.choice(list(world.venue.trade_logs.items()))
    start_s = int(world.scheduler.now_s) // STEP_S * STEP_S - STEP_S * chance.randint(2, 100)
    if trade_log.revise(start_s, more=2.0) and announced and (bar := trade_log.bar(start_s)):
        for link in world.links:
            link.update(product, bar)


@fault("closed bucket revised, told", 1, 1, harms=True, at_start=0)
def revised_announced(world: World, chance: random.Random) -> None:
    _revise(world, chance, announced=True)


@fault("closed bucket revised, not told", 1, 1, harms=True, at_start=0)
def revised(world: World, chance: random.Random) -> None:
    _revise(world, chance, announced=False)


@fault("product delisted", 1, 1, harms=True, at_start=0)
def delisted(world: World, chance: random.Random) -> None:
    products = list(world.venue.trade_logs)
    world.venue.listed[chance.choice(products[1:] or products)] = False
