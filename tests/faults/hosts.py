"""Faults of hosts: Redis servers and their files, clocks of single hosts, addresses."""

from __future__ import annotations

import random
import signal
from contextlib import suppress

from redis.exceptions import RedisError

from app.market.timeframes import BASE
from tests.faults.wire import Strike
from tests.faults.world import ANSWERING, REFUSING, SILENT, SPEED, Waits, World

WORKERS = ("indicators", "backfill", "alerts")

MIN_S, MAX_S = 90.0, 1_200.0
"""Real seconds by which a host's clock is wrong."""

CUT_S = 1.0
"""Real seconds of writes that the append-only file loses."""

LINK_S = 300.0
"""Real seconds within which a replica has the data of its master."""


def fails_over(world: World, _: random.Random) -> Waits:
    """The replica becomes the master behind the same address; the old master becomes its replica."""
    assert world.pair is not None
    waited_s = 0.0
    while waited_s < LINK_S and not _is_linked(world):
        yield 0.2
        waited_s += 0.2
    world.fail_over()
    yield 3.0


def _is_linked(world: World) -> bool:
    """Other faults may have stopped either server."""
    if world.redis_process() is None or world.pair is None:
        return False
    with suppress(RedisError):
        return world.pair.is_linked()
    return False


def file_cut(world: World, chance: random.Random) -> Waits:
    """A power cut just after a bucket has closed: Redis's writes of the last second are not on the disk.

    The file may end within a command.
    """
    before_s = 20.0
    now_s = world.exchange.now_s()
    yield (BASE.bucket(now_s + before_s) + BASE.seconds - before_s - now_s) / SPEED
    sizes = world.file_sizes()
    yield CUT_S
    with world.down(signal.SIGKILL, redis=True):
        for file, size in sizes.items():
            if file.exists() and file.stat().st_size > size:
                with file.open("r+b") as opened:
                    opened.truncate(min(file.stat().st_size, size + chance.randint(0, 40)))
    yield 2.0


def clock_of(*names: str) -> Strike:
    """Set the clock of the host of one of these processes minutes ahead or behind. In half of the cases the process
    restarts with the wrong time; in half the time stays wrong to the end.
    """

    def strike(world: World, chance: random.Random) -> Waits:
        name = chance.choice(names)
        wrong_s = chance.choice([-1, 1]) * chance.uniform(MIN_S, MAX_S)
        world.set_clock(wrong_s / 3_600, name)
        if chance.random() < 0.5:
            world.send(world.process(name), signal.SIGTERM)
        yield chance.uniform(8, 14)
        if chance.random() < 0.5:
            world.set_clock(0, name)

    return strike


def first_address(address: str) -> Strike:
    """The exchange's name gets another address before the one that answers, and clients must reconnect."""

    def strike(world: World, _: random.Random) -> Waits:
        world.set_addresses(address, ANSWERING)
        world.exchange.inject("reset")
        world.send(world.process("backfill"), signal.SIGTERM)
        yield 12.0
        world.set_addresses(ANSWERING)

    return strike


def delisted(world: World, chance: random.Random) -> Waits:
    """A product is delisted: the listing marks it, the stream is silent, REST has no candles, connections are reset."""
    names = sorted(r["product_id"] for r in world.exchange.listing() if r["status"] == "online" and not r["alias"])
    world.exchange.inject("delist_product", product=chance.choice(names), gone=True)
    yield 1.0
    world.exchange.inject("reset")
    yield 1.0


ADDRESSES = {"first address silent": first_address(SILENT), "first address refuses": first_address(REFUSING)}
CLOCKS = {
    "clock of ingest's host: minutes wrong": clock_of("ingest"),
    "clock of a worker's host: minutes wrong": clock_of(*WORKERS),
}
