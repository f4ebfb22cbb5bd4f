"""REST is late, short, empty, wrong, slow or down."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.faults.registry import HOUR_S, Heal, fault
from tests.simulation.market import Bar
from tests.simulation.plan import Liar
from tests.simulation.venue import CandleRequest, Reply, Spoiler

if TYPE_CHECKING:
    from tests.simulation.world import World


SETTLING_S = 60
"""Time after the end of a row's bucket from which the row proves missing rows before it to be empty."""


def _spoil(world: World, spoiler: Spoiler) -> Heal:
    world.venue.spoilers.append(spoiler)
    return lambda: world.venue.spoilers.remove(spoiler)


def _lateness_ms(chance: random.Random) -> int:
    return int(1000 * chance.choice((chance.uniform(2, 60), chance.uniform(60, 3600), chance.uniform(3600, 86_400))))


def _late(chance: random.Random) -> Spoiler:
    """Late, with or without half of a bucket at the end; or late except for unsettled rows."""
    luck = chance.random()
    return _as_before(_lateness_ms(chance), half=luck < 0.4, keeps_newest=luck > 0.6)


def _as_before(late_ms: int, *, half: bool, keeps_newest: bool) -> Spoiler:

    def spoil(request: CandleRequest, bars: list[Bar]) -> list[Bar]:
        before = request.as_of(request.now_ms - late_ms, half=half)
        if not keeps_newest:
            return before
        newest_s = before[-1].start_s if before else 0
        unsettled_s = max(newest_s, request.now_ms // 1000 - SETTLING_S - request.step_s)
        return before + [bar for bar in bars if bar.start_s > unsettled_s]

    return spoil


def _short(chance: random.Random) -> Spoiler:
    kept, newest = chance.choice((1, 5, 50, 100, 200)), chance.random() < 0.5
    return lambda _, bars: bars[-kept:] if newest else bars[:kept]


def _empty(_: CandleRequest, __: list[Bar]) -> list[Bar]:
    return []


@fault("REST is late", at_start=0.5, of_rest=True)
def rest_late(world: World, chance: random.Random) -> Heal:
    return _spoil(world, _late(chance))


@fault("REST is late, and ends with half a bucket and the open one", deceives=Liar.REST, at_start=0.5, of_rest=True)
def rest_late_half(world: World, chance: random.Random) -> Heal:
    """That row looks like a whole one until a later response has more trades."""
    return _spoil(world, _as_before(_lateness_ms(chance), half=True, keeps_newest=True))


@fault("REST is short", at_start=0.5, of_rest=True)
def rest_short(world: World, chance: random.Random) -> Heal:
    return _spoil(world, _short(chance))


@fault("REST is empty", at_start=0.5, of_rest=True)
def rest_empty(world: World, _: random.Random) -> Heal:
    return _spoil(world, _empty)


@fault("REST alternates between a good server and a bad one", at_start=0.5, of_rest=True)
def rest_alternates(world: World, chance: random.Random) -> Heal:
    bad = chance.choice((_late(chance), _short(chance), _empty))
    return _spoil(world, lambda request, bars: bad(request, bars) if world.venue.candle_requests % 2 else bars)


def _recent(request: CandleRequest, bars: list[Bar]) -> int:
    """How many of `bars` are so old that no reconciliation would request them again."""
    edge_s = request.now_ms // 1000 - 250 * request.step_s
    return sum(bar.start_s < edge_s for bar in bars)


@fault("REST gives half volumes", 1, 840, harms=True, of_rest=True)
def rest_halved(world: World, _: random.Random) -> Heal:
    def spoil(request: CandleRequest, bars: list[Bar]) -> list[Bar]:
        old = _recent(request, bars)
        return bars[:old] + [bar._replace(volume=bar.volume / 2) for bar in bars[old:]]

    return _spoil(world, spoil)


@fault("REST gives another product's rows", 1, 840, harms=True, of_rest=True)
def rest_other(world: World, _: random.Random) -> Heal:
    other = next(reversed(world.venue.trade_logs.values()))

    def spoil(request: CandleRequest, bars: list[Bar]) -> list[Bar]:
        old = _recent(request, bars)
        theirs = replace(request, trade_log=other)
        return bars[:old] + [b for b in theirs.as_of(request.now_ms) if not old or b.start_s > bars[old - 1].start_s]

    return _spoil(world, spoil)


@fault("REST leaves rows out", 1, 840, harms=True, of_rest=True)
def rest_rows_missing(world: World, chance: random.Random) -> Heal:
    share = chance.uniform(0.02, 0.4)

    def spoil(request: CandleRequest, bars: list[Bar]) -> list[Bar]:
        old = _recent(request, bars)
        return bars[:old] + [bar for bar in bars[old:] if world.venue.chance.random() > share]

    return _spoil(world, spoil)


def _status(name: str, status: int, body: bytes) -> None:
    @fault(name, 1, 900, of_rest=True)
    def strike(world: World, chance: random.Random) -> Heal:
        share = chance.choice((0.3, 1.0))

        def spoil(_: CandleRequest, bars: list[Bar]) -> list[Bar] | Reply:
            return Reply(status, body) if world.venue.chance.random() < share else bars

        return _spoil(world, spoil)


_status("REST answers 429", 429, b'{"errors":[{"id":"rate_limit_exceeded"}]}')
_status("REST answers 500", 500, b'{"error":"INTERNAL"}')
_status("REST answers 502 in HTML", 502, b"<html>")


@fault("REST times out", 1, 900, of_rest=True)
def rest_hangs(world: World, chance: random.Random) -> Heal:
    world.venue.hang = chance.choice((0.2, 1.0))
    return lambda: setattr(world.venue, "hang", 0.0)


@fault("REST is slow", 10, HOUR_S, of_rest=True)
def rest_slow(world: World, _: random.Random) -> Heal:
    before, world.venue.latency_s = world.venue.latency_s, (0.5, 6.0)
    return lambda: setattr(world.venue, "latency_s", before)
