"""Every fault, by name. A fault is a generator over a `World`: it strikes, waits, and heals."""

from __future__ import annotations

import random
import resource
import signal
import time
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from redis.exceptions import RedisError

from app.market.timeframes import Timeframe
from tests.faults import hosts
from tests.faults.receiver import poisoned
from tests.faults.wire import FRAMES, LINKS, REST, Strike
from tests.faults.world import PROCESSES, Waits, World, frozen


class Fault(NamedTuple):
    """`strike` runs it; `second` names the process that must run twice for it."""

    group: str
    name: str
    strike: Strike
    second: str = ""
    clock: bool = False
    """Whether it changes the clocks of machines."""
    shares: bool = False
    """Whether two ingests take half of the products each."""
    replica: bool = False
    """Whether Redis has a replica that can take over."""
    addresses: bool = False
    """Whether the exchange has a host name with changing addresses."""

    @property
    def forgets(self) -> bool:
        """Whether the record of a delivery may be lost: the message may then arrive twice."""
        return self.group in ("Redis", "downtime") or self.name in FORGET


# --- processes


def _kill(name: str) -> Strike:
    def strike(world: World, _: random.Random) -> Waits:
        world.send(world.process(name), signal.SIGKILL)
        yield 2.0

    return strike


def _stop(name: str) -> Strike:
    def strike(world: World, chance: random.Random) -> Waits:
        yield from frozen(world, world.process(name), chance.uniform(2, 12))

    return strike


def _kill_child(world: World, _: random.Random) -> Waits:
    world.send(world.child("indicators"), signal.SIGKILL)
    yield 1.0


def _stop_child(world: World, chance: random.Random) -> Waits:
    yield from frozen(world, world.child("indicators"), chance.uniform(2, 12))


def _kill_everything(world: World, _: random.Random) -> Waits:
    world.send_all(signal.SIGKILL)
    yield 3.0


def _restart_a_share(world: World, _: random.Random) -> Waits:
    """Restart while other products have the most trades than at its start."""
    world.exchange.jump(10_800)
    world.send(world.process("ingest"), signal.SIGTERM)
    yield 3.0


# --- everything


def _down(hours: float, *, redis: bool = False) -> Strike:
    """Stop everything, let the market pass `hours`, start everything again; Redis keeps its file.

    Without a wait in between: other faults would find no processes.
    """

    def strike(world: World, chance: random.Random) -> Waits:
        with world.down(chance.choice([signal.SIGTERM, signal.SIGKILL]), redis=redis):
            world.exchange.jump(hours * 3_600)
        yield 2.0

    return strike


DOWN_HOURS = (1, 6, 30, 48, 100, 1_000)

# --- Redis


def _redis_killed(world: World, _: random.Random) -> Waits:
    world.server.kill()
    world.start_redis()
    yield 1.0


def _redis_down(world: World, chance: random.Random) -> Waits:
    world.server.kill()
    yield chance.uniform(2, 8)
    world.start_redis()


def _redis_forgets(world: World, _: random.Random) -> Waits:
    world.forget()
    yield 1.0


def _redis_frozen(world: World, chance: random.Random) -> Waits:
    yield from frozen(world, world.redis_process(), chance.uniform(2, 9))


def _redis_slow(world: World, _: random.Random) -> Waits:
    for _turn in range(20):
        yield from frozen(world, world.redis_process(), 0.25)
        yield 0.15


def _redis_full(world: World, chance: random.Random) -> Waits:
    redis = world.system.context.redis
    with suppress(RedisError):  # another fault may have stopped Redis
        redis.config_set("maxmemory", "1mb")
    yield chance.uniform(3, 8)
    with suppress(RedisError):
        redis.config_set("maxmemory", "1gb")


def _redis_amnesia(world: World, _: random.Random) -> Waits:
    """Redis drops its scripts and closes every connection."""
    with suppress(RedisError):
        world.system.context.redis.script_flush()
        world.system.context.redis.client_kill_filter(_type="normal")
        world.system.context.redis.client_kill_filter(_type="pubsub")
    yield 0.5


def _disk_full(world: World, chance: random.Random) -> Waits:
    """The append-only file cannot grow any more."""
    server, unlimited = world.redis_process(), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    size = max(world.file_sizes().values(), default=0)
    if server is not None:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, unlimited[1]))
    yield chance.uniform(3, 8)
    with suppress(ProcessLookupError):
        if server is not None:
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)


# --- clocks and truth


def _venue_frozen(world: World, chance: random.Random) -> Waits:
    world.venue.send(signal.SIGSTOP)
    time.sleep(chance.uniform(3, 10))  # blocks, because other faults would wait for its response
    world.venue.send(signal.SIGCONT)
    yield 0.5


def _venue_jumps(jump_s: float) -> Strike:
    def strike(world: World, _: random.Random) -> Waits:
        world.exchange.jump(jump_s)
        yield 3.0

    return strike


def _venue_leaps(jump_s: float) -> Strike:
    """A jump that is undone."""

    def strike(world: World, chance: random.Random) -> Waits:
        world.exchange.jump(jump_s)
        yield chance.uniform(1.0, 6.0)
        world.furthest_s = max(world.furthest_s, world.exchange.now_s())
        world.exchange.jump(-jump_s)
        yield 3.0

    return strike


def _machine_jumps(hours: float) -> Strike:
    def strike(world: World, chance: random.Random) -> Waits:
        world.set_clock(hours)
        yield chance.uniform(4, 8)
        world.set_clock(0)
        yield 2.0

    return strike


def _revise(announce: bool) -> Strike:
    def strike(world: World, chance: random.Random) -> Waits:
        bucket = Timeframe.M5.bucket(world.exchange.now_s()) - 300 * chance.randint(2, 20)
        world.exchange.inject("revise", product="BTC-USD", start=bucket, announce=announce)
        yield 0.5

    return strike


def _list_product(world: World, _: random.Random) -> Waits:
    """List a product. The ingests follow it at the latest after their restart when all faults are over."""
    if world.unlisted:
        world.exchange.inject("list_product", product=world.unlisted.pop())
    yield 1.0


GROUPS: dict[str, dict[str, Strike]] = {
    "processes": {
        **{f"{name} killed": _kill(name) for name in PROCESSES},
        **{f"{name} stopped for seconds": _stop(name) for name in PROCESSES},
        "indicators' child killed": _kill_child,
        "indicators' child stopped for seconds": _stop_child,
        "everything killed at once": _kill_everything,
    },
    "downtime": {
        **{f"everything down for {hours:,} h": _down(hours) for hours in DOWN_HOURS},
        "everything down for 48 h, Redis too": _down(48, redis=True),
    },
    "Redis": {
        "Redis killed": _redis_killed,
        "Redis away for seconds": _redis_down,
        "Redis restarted without its file": _redis_forgets,
        "Redis frozen": _redis_frozen,
        "Redis slow": _redis_slow,
        "Redis full": _redis_full,
        "Redis forgets scripts and connections": _redis_amnesia,
        "disk full": _disk_full,
        "power cut, the file loses a second": hosts.file_cut,
    },
    "link": LINKS,
    "frames": FRAMES,
    "REST": REST,
    "clocks": {
        "exchange frozen": _venue_frozen,
        "exchange's clock: 20 minutes on": _venue_jumps(1_200),
        "exchange's clock: 3 hours on": _venue_jumps(10_800),
        "exchange's clock: 10 minutes back": _venue_jumps(-600),
        "exchange's clock: 3 hours on, and back": _venue_leaps(10_800),
    },
    "truth": {
        "closed bucket revised, told": _revise(True),
        "closed bucket revised, not told": _revise(False),
        "product listed": _list_product,
        "product delisted": hosts.delisted,
    },
}
RECEIVER: dict[str, Strike] = {"receiver's answers are poison": poisoned}
MACHINE_CLOCK: dict[str, Strike] = {
    "machine's clock: 5 hours on": _machine_jumps(5),
    "machine's clock: 5 hours back": _machine_jumps(-5),
}
SHARES: dict[str, Strike] = {
    "ingest killed, of two shares": _kill("ingest"),
    "ingest stopped for seconds, of two shares": _stop("ingest"),
    "ingest restarted, of two shares": _restart_a_share,
    "connection reset, of two shares": LINKS["connection reset"],
}
FORGET = ("alerts killed", "everything killed at once", *MACHINE_CLOCK)
"""Other faults that may end a worker, or change Redis's clock, between a delivery and its record."""

TWICE = ("ingest", "beat", "indicators", "backfill")


@cache
def catalogue() -> tuple[Fault, ...]:
    """Every fault."""
    known = [Fault(group, name, strike) for group, of_group in GROUPS.items() for name, strike in of_group.items()]
    known += [Fault("processes", f"{n} killed, of two", _kill(n), second=n) for n in TWICE]
    known += [Fault("processes", f"{n} stopped, of two", _stop(n), second=n) for n in TWICE]
    known += [Fault("shares", name, strike, second="ingest", shares=True) for name, strike in SHARES.items()]
    known += [Fault("clocks", name, strike, clock=True) for name, strike in MACHINE_CLOCK.items()]
    known += [Fault("clocks", name, strike, clock=True) for name, strike in hosts.CLOCKS.items()]
    known += [Fault("link", name, strike, addresses=True) for name, strike in hosts.ADDRESSES.items()]
    known += [Fault("receiver", name, strike) for name, strike in RECEIVER.items()]
    known.append(Fault("Redis", "Redis fails over to its replica", hosts.fails_over, replica=True))
    return tuple(known)
