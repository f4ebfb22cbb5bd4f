"""Processes, Redis and tasks fail."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulation.faults.registry import HOUR_S, Heal, fault

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World


def _one(world: World, chance: random.Random, kind: str = "") -> Process | None:
    alive = [p for p in world.processes if p.is_alive and p.kind.startswith(kind)]
    return chance.choice(alive) if alive else None


def _killing(kind: str) -> None:
    @fault(f"{kind} killed again and again", 1, 1800)
    def strike(world: World, chance: random.Random) -> Heal:
        state = {"on": True}

        def light() -> None:
            if state["on"]:
                if process := _one(world, chance, kind):
                    process.fuse = chance.randrange(40)
                world.scheduler.after(chance.uniform(1, 300), light)

        light()

        def heal() -> None:
            state["on"] = False
            for process in world.processes:
                process.fuse = None

        return heal


for _kind in ("ingest", "backfill", "indicators"):
    _killing(_kind)


@fault("everything killed", 1, 1)
def all_killed(world: World, _: random.Random) -> None:
    for process in world.processes[:]:
        world.kill(process)


@fault("processes stand still", 1, HOUR_S)
def stalls(world: World, chance: random.Random) -> Heal:
    state = {"on": True}

    def stall() -> None:
        if state["on"]:
            if process := _one(world, chance):
                process.stalls_s = chance.choice((2, 8, 20, 40, 50))
            world.scheduler.after(chance.uniform(5, 200), stall)

    stall()
    return lambda: state.update(on=False)


@fault("beat missing", 60, HOUR_S)
def no_beat(world: World, _: random.Random) -> Heal:
    world.beat.is_on = False
    return lambda: setattr(world.beat, "is_on", True)


@fault("Redis lost its data", 1, 1)
def redis_forgets(world: World, _: random.Random) -> None:
    world.forget()


@fault("Redis away", 1, 900)
def redis_away(world: World, _: random.Random) -> Heal:
    world.redis_is_down = True
    return lambda: setattr(world, "redis_is_down", False)


@fault("one process cut off from Redis", 1, 900)
def redis_cut(world: World, chance: random.Random) -> Heal:
    process = _one(world, chance, chance.choice(("ingest", "ingest", "backfill", "indicators")))
    if process is None:
        return lambda: None
    process.is_cut = True
    return lambda: setattr(process, "is_cut", False)


@fault("answers of Redis lost", 10, 1800)
def redis_replies(world: World, _: random.Random) -> Heal:
    def put(share: float) -> None:
        world.reply_loss = share
        for process in world.processes:
            process.loses = share

    put(0.05)
    return lambda: put(0.0)


@fault("tasks lost", 10, HOUR_S)
def tasks_lost(world: World, chance: random.Random) -> Heal:
    world.broker.loses = chance.choice((0.2, 0.9))
    return lambda: setattr(world.broker, "loses", 0.0)


@fault("tasks doubled", 10, HOUR_S)
def tasks_doubled(world: World, _: random.Random) -> Heal:
    world.broker.doubles = 0.5
    return lambda: setattr(world.broker, "doubles", 0.0)
