"""Everything that can go wrong, by name. A fault is a generator over a `World`: it strikes, waits, and heals."""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from redis.exceptions import RedisError

from app.timeframes import Timeframe
from tests.faults.world import PROCESSES, Waits, World, frozen

Strike = Callable[[World, random.Random], Waits]


class Fault(NamedTuple):
    """`strike` does it; `second` names the process that must run twice for it."""

    group: str
    name: str
    strike: Strike
    second: str = ""
    clock: bool = False
    """Whether it sets the machines' clocks."""


def _wire(*faults: dict[str, Any], lasts_s: float = 0.5) -> Strike:
    """Faults of the local exchange, switched on together."""

    def strike(world: World, _: random.Random) -> Waits:
        for fault in faults:
            world.exchange.inject(**fault)
        yield max([lasts_s, *(f.get("for_seconds", 0.0) for f in faults)])

    return strike


CUT = {"fault": "reset"}
"""So that there is something to ask REST for."""

GARBAGE = (
    "not_json", "not_an_object", "wrong_types", "nan", "deep_nesting", "huge_number", "five_megabytes", "binary",
    "invalid_utf8", "unknown_channel", "error_frame", "high_below_low", "misaligned", "unknown_product", "old_snapshot",
)  # fmt: skip

LINKS = {
    "closed by a deploy (1001)": _wire({"fault": "close", "code": 1001}),
    "closed as if done (1000)": _wire({"fault": "close", "code": 1000}),
    "connection reset": _wire(CUT),
    "reset in the middle of a frame": _wire({"fault": "cut_frame"}),
    "connections refused (503)": _wire({"fault": "refuse_connections", "for_seconds": 8}, CUT),
    "connections cut at once": _wire({"fault": "refuse_connections", "status": 0, "for_seconds": 6}, CUT),
    "half-open": _wire({"fault": "half_open", "for_seconds": 12}),
    "silent socket": _wire({"fault": "freeze_socket", "for_seconds": 8}),
    "candles channel silent": _wire({"fault": "freeze_channel", "channel": "candles", "for_seconds": 12}),
    "heartbeats silent": _wire({"fault": "freeze_channel", "channel": "heartbeats", "for_seconds": 8}),
    "one product silent": _wire({"fault": "freeze_channel", "product": "BTC-USD", "for_seconds": 12}),
    "throttled to a trickle": _wire({"fault": "trickle", "bytes_per_second": 400, "for_seconds": 8}),
}
FRAMES = {
    "frames dropped": _wire({"fault": "drop_frames", "count": 60}, lasts_s=2),
    "frames twice": _wire({"fault": "duplicate_frames", "count": 60}, lasts_s=2),
    "frames out of order": _wire({"fault": "reorder_frames", "count": 60}, lasts_s=2),
    "snapshot storm": _wire({"fault": "snapshot_storm", "count": 3}),
    "snapshots shuffled, with holes": _wire(
        {"fault": "snapshot", "order": "shuffled", "hole_rate": 0.7, "for_seconds": 6}, CUT
    ),
    "stale update": _wire({"fault": "stale_update", "product": "ETH-USD", "buckets_back": 1}),
    "no last update": _wire({"fault": "no_final_update", "for_seconds": 6}),
    **{f"garbage: {kind}": _wire({"fault": "garbage", "kind": kind, "count": 5}) for kind in GARBAGE},
}
REST = {
    "429": _wire({"fault": "rest_429", "count": 3}, CUT),
    "429 as a page, empty": _wire(
        {"fault": "rest_429", "count": 1, "body": "html"}, {"fault": "rest_429", "count": 1, "body": "empty"}, CUT
    ),
    "401": _wire({"fault": "rest_401", "count": 2}, CUT),
    "500": _wire({"fault": "rest_500", "count": 6}, CUT),
    "502 in HTML": _wire({"fault": "rest_502", "count": 6}, CUT),
    "REST hangs": _wire({"fault": "rest_hang", "count": 2, "seconds": 15}, CUT),
    "REST body cut off": _wire({"fault": "rest_truncated", "count": 4}, CUT),
    "REST tells another product": _wire({"fault": "rest_wrong_product", "count": 1, "path": "candles"}, CUT),
    "REST is late": _wire({"fault": "rest_late", "seconds": 45, "for_seconds": 12}, CUT),
    "REST's newest bucket is stale": _wire({"fault": "rest_stale", "seconds": 45, "for_seconds": 12}, CUT),
}


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
    for name in world.system.processes:
        world.send(world.process(name), signal.SIGKILL)
    yield 3.0


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
    with suppress(RedisError):  # another fault may have ended it
        redis.config_set("maxmemory", "1mb")
    yield chance.uniform(3, 8)
    with suppress(RedisError):
        redis.config_set("maxmemory", "1gb")


def _redis_amnesia(world: World, _: random.Random) -> Waits:
    """Its scripts are forgotten, and every connection is closed."""
    with suppress(RedisError):
        world.system.context.redis.script_flush()
        world.system.context.redis.client_kill_filter(_type="normal")
        world.system.context.redis.client_kill_filter(_type="pubsub")
    yield 0.5


def _disk_full(world: World, chance: random.Random) -> Waits:
    """The append-only file cannot grow any more."""
    server, unlimited = world.redis_process(), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    size = max((f.stat().st_size for f in (world.folder / "redis").rglob("*.aof")), default=0)
    if server is not None:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size, unlimited[1]))
    yield chance.uniform(3, 8)
    with suppress(ProcessLookupError):
        if server is not None:
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, unlimited)


# --- clocks and truth


def _venue_frozen(world: World, chance: random.Random) -> Waits:
    world.venue.send(signal.SIGSTOP)
    time.sleep(chance.uniform(3, 10))  # other faults would have to wait for its answer
    world.venue.send(signal.SIGCONT)
    yield 0.5


def _venue_jumps(jump_s: float) -> Strike:
    def strike(world: World, _: random.Random) -> Waits:
        world.exchange.jump(jump_s)
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
    world.exchange.inject("list_product", product="TIA-USD")
    yield 1.0


GROUPS: dict[str, dict[str, Strike]] = {
    "processes": {
        **{f"{name} killed": _kill(name) for name in PROCESSES},
        **{f"{name} stopped for seconds": _stop(name) for name in PROCESSES},
        "indicators' child killed": _kill_child,
        "indicators' child stopped for seconds": _stop_child,
        "everything killed at once": _kill_everything,
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
    },
    "link": LINKS,
    "frames": FRAMES,
    "REST": REST,
    "clocks": {
        "exchange frozen": _venue_frozen,
        "exchange's clock: 20 minutes on": _venue_jumps(1_200),
        "exchange's clock: 3 hours on": _venue_jumps(10_800),
        "exchange's clock: 10 minutes back": _venue_jumps(-600),
    },
    "truth": {
        "closed bucket revised, told": _revise(True),
        "closed bucket revised, not told": _revise(False),
        "product listed": _list_product,
    },
}
MACHINE_CLOCK: dict[str, Strike] = {
    "machine's clock: 5 hours on": _machine_jumps(5),
    "machine's clock: 5 hours back": _machine_jumps(-5),
}
TWICE = ("ingest", "beat", "indicators", "backfill")


def catalogue() -> list[Fault]:
    """Every fault."""
    known = [Fault(group, name, strike) for group, of_group in GROUPS.items() for name, strike in of_group.items()]
    known += [Fault("processes", f"{n} killed, of two", _kill(n), second=n) for n in TWICE]
    known += [Fault("processes", f"{n} stopped, of two", _stop(n), second=n) for n in TWICE]
    return known + [Fault("clocks", name, strike, clock=True) for name, strike in MACHINE_CLOCK.items()]
