"""What a seed means: the market, the installation at each of its starts, and the faults. Pure values."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple

from tests.simulation.market import DAY_S, TradeLog

EPOCH_S = 1_760_054_400
"""Midnight UTC; the simulation begins some hours after it."""
HOUR_S = 3_600

SETTLING_HOURS = 2.5
"""What the rules need to be sure of all: a dispute is decided after 15 minutes, what nobody could know is requested
again after 5, 15 and 60 minutes, and an origin after an hour."""


class Product(NamedTuple):
    """`activity`: how likely a bucket has trades. `quiet`: hours since the beginning, from and to, without any."""

    name: str
    activity: float
    listed_hours: float
    quiet: tuple[tuple[float, float], ...] = ()


class Start(NamedTuple):
    """One start of the installation: how long it runs, then is down, and its configuration."""

    hours: float
    down_hours: float
    products: tuple[str, ...]
    timeframes: tuple[str, ...]
    capacity: int
    ingests: int
    backfill: tuple[int, ...]
    """Threads of each worker."""
    indicators: int
    per_second: float


class Liar(IntEnum):
    """Who says what is false: then what rests on its word may be called certain, and be wrong for a while."""

    NOBODY = 0
    STREAM = 1
    REST = 2


class Fault(NamedTuple):
    """`at_s`: seconds since the beginning; `number` tells two of one kind apart and is the seed of its own chances.

    `deceives`: see `KindOfFault`.
    """

    kind: str
    at_s: float
    lasts_s: float
    number: int
    deceives: Liar = Liar.NOBODY


@dataclass(frozen=True)
class Plan:
    seed: int
    begin_s: float
    products: tuple[Product, ...]
    starts: tuple[Start, ...]
    faults: tuple[Fault, ...]
    density: float
    """How likely another actor runs before a trip to Redis."""

    @property
    def hours(self) -> float:
        """Market hours in which the installation runs."""
        return sum(start.hours for start in self.starts)

    @property
    def span_hours(self) -> float:
        return sum(start.hours + start.down_hours for start in self.starts)

    @property
    def liar(self) -> Liar:
        """Who of the exchange may say something false that nobody can tell from the truth at once."""
        return max((fault.deceives for fault in self.faults), default=Liar.NOBODY)

    def heal_hours(self) -> float:
        return heal_hours(self.starts[-1].timeframes)

    def last_start_s(self) -> float:
        """When the last start was, in seconds since the beginning."""
        return sum((s.hours + s.down_hours) * HOUR_S for s in self.starts[:-1])

    def with_faults(self, numbers: frozenset[int]) -> Plan:
        """The same with these faults only."""
        return replace(self, faults=tuple(f for f in self.faults if f.number in numbers))


def heal_hours(timeframes: tuple[str, ...]) -> float:
    """Hours after the last fault until everything must be true: one reconciliation of each longer timeframe, one after
    the other, each hour; and what disputes take."""
    return len(timeframes) + SETTLING_HOURS


class Size(NamedTuple):
    """What plans choose from: how many products, which timeframes, slots of a ring. It decides what a seed costs."""

    products: tuple[int, ...]
    timeframes: tuple[tuple[str, ...], ...]
    capacities: tuple[int, ...]


FULL = Size(
    (2, 2, 2, 3, 3, 4, 6),
    (
        *[("5m", "1h")] * 4,
        *[("5m", "15m", "1h")] * 4,
        ("5m", "15m", "1h", "4h"),
        ("5m", "15m", "1h", "4h", "1d"),
    ),
    (500, 500, 500, 600, 1000),
)
SMALL = Size((2,), (("5m", "1h"),), (500,))
NAMES = ("BTC-USD", "ETH-USD", "SOL-USD", "LTC-USD", "XLM-USD", "ETC-USD")
ACTIVITIES = (1.0, 1.0, 0.95, 0.6, 0.25, 8 / 288, 8 / 288)


def plan_of(seed: int, kinds: dict[str, KindOfFault], size: Size = FULL) -> Plan:
    """The plan of a seed; `kinds`: what can go wrong."""
    chance = random.Random(f"simulation {seed}")
    begin_s = EPOCH_S + chance.randrange(24 * 12) * 300 + chance.uniform(0, 300)
    products = tuple(_product(chance, i) for i in range(chance.choice(size.products)))
    starts = _starts(chance, tuple(p.name for p in products), size)
    faults = _faults(chance, begin_s, starts, kinds)
    # At the end of a bucket, when all is settled that can be.
    end_s = begin_s + sum((s.hours + s.down_hours) * HOUR_S for s in starts)
    late = (200 - end_s % 300) % 300 / HOUR_S
    starts = (*starts[:-1], starts[-1]._replace(hours=starts[-1].hours + late))
    return Plan(seed, begin_s, products, starts, faults, density=chance.choice((0.01, 0.05, 0.2, 0.6)))


def _product(chance: random.Random, i: int) -> Product:
    activity = ACTIVITIES[0] if i == 0 else chance.choice(ACTIVITIES)
    listed = chance.choice((chance.uniform(2, 40), chance.uniform(100, 800), 1000.0)) if i else 1000.0
    quiet: list[tuple[float, float]] = []
    if activity < 0.1 and chance.random() < 0.5:  # its last trade is older than a page
        quiet.append((-chance.uniform(31, 60), chance.choice((-0.2, 2.0, 5.0, 1000.0))))
    if i and chance.random() < 0.15:  # a halt
        at = chance.uniform(-20, 4)
        quiet.append((at, at + chance.uniform(0.2, 12)))
    return Product(NAMES[i], activity, listed, tuple(quiet))


def _starts(chance: random.Random, names: tuple[str, ...], size: Size) -> tuple[Start, ...]:
    count = chance.choice((1, 2, 2, 3))
    settings = _settings(chance, names, size)
    starts = []
    for i in range(count):
        is_last = i == count - 1
        if i:
            settings = _changed(chance, settings, names, size)
        down = 0.0 if is_last else math.exp(chance.uniform(math.log(0.2), math.log(700)))
        hours = chance.uniform(0.3, 2.5) if not is_last else chance.uniform(1, 3)
        if is_last:
            hours += heal_hours(settings.timeframes)
        starts.append(settings._replace(hours=hours, down_hours=down))
    return tuple(starts)


def _settings(chance: random.Random, names: tuple[str, ...], size: Size) -> Start:
    return Start(
        0,
        0,
        names[: chance.randint(max(1, len(names) - 1), len(names))],
        chance.choice(size.timeframes),
        chance.choice(size.capacities),
        chance.choice((1, 1, 2)),
        chance.choice(((1,), (2,), (4,), (2, 2))),
        chance.choice((1, 1, 2)),
        chance.choice((5.0, 5.0, 10.0, 30.0)),
    )


def _changed(chance: random.Random, before: Start, names: tuple[str, ...], size: Size) -> Start:
    new = _settings(chance, names, size)
    keep = {name: getattr(before, name) for name in ("products", "timeframes", "capacity") if chance.random() < 0.7}
    return new._replace(**keep)


class KindOfFault(NamedTuple):
    """Durations in seconds. `harms`: it makes stored candles wrong which only a reconciliation finds, so no long
    downtime may follow before one. `deceives`: whose word may be false while it lasts, and nobody can tell."""

    shortest_s: float
    longest_s: float
    harms: bool = False
    deceives: Liar = Liar.NOBODY
    at_start: float = 0.3
    """How likely it begins soon after a start."""
    of_rest: bool = False


MAX_FAULTS = 6
SOON_S = (1.0, 120.0)
"""Seconds after a start: before the first request, and while the pages of the start are requested."""

BEFORE_RECONCILIATION = 0.3
"""How likely a fault of REST begins in the ten minutes before a reconciliation, if not at a start."""


def _faults(
    chance: random.Random, first_s: float, starts: tuple[Start, ...], kinds: dict[str, KindOfFault]
) -> tuple[Fault, ...]:
    faults = []
    chosen: set[str] = set()
    # Every second plan is about REST, whose word is final, and most of these about what it may be known not to say.
    is_about_rest, is_candid = chance.random() < 0.5, chance.random() < 0.7
    choice = sorted(
        kind
        for kind, limits in kinds.items()
        if not is_about_rest or (limits.of_rest and not (is_candid and (limits.harms or limits.deceives)))
    )
    for number in range(chance.randint(int(is_about_rest), MAX_FAULTS)):
        kind = chance.choice(choice)
        limits = kinds[kind]
        if kind in chosen and limits.harms:
            continue
        chosen.add(kind)
        which = len(starts) - 1 if limits.harms else chance.randrange(len(starts))
        begin_s = sum((s.hours + s.down_hours) * HOUR_S for s in starts[:which])
        hours = starts[which].hours - (heal_hours(starts[-1].timeframes) if which == len(starts) - 1 else 0)
        end_s = begin_s + hours * HOUR_S
        soon_s = min(end_s, begin_s + chance.choice(SOON_S))
        at_s = chance.uniform(begin_s, soon_s if chance.random() < limits.at_start else end_s)
        if limits.of_rest and at_s > soon_s and chance.random() < BEFORE_RECONCILIATION:
            at_s = max(begin_s, at_s + HOUR_S - (first_s + at_s) % HOUR_S - chance.uniform(0, 600))
        lasts_s = math.exp(chance.uniform(math.log(limits.shortest_s), math.log(limits.longest_s)))
        liar = Liar.REST if limits.harms else limits.deceives
        faults.append(Fault(kind, at_s, min(lasts_s, max(1.0, end_s - at_s)), number, liar))
    return tuple(faults)


def tapes_of(plan: Plan) -> dict[str, TradeLog]:
    """The truth of every product of the plan."""
    oldest_s = plan.begin_s - 45 * DAY_S
    first_s = int(oldest_s) // DAY_S * DAY_S
    days = int(46 + plan.span_hours / 24 + 3)

    def trade_log(product: Product) -> TradeLog:
        listed_s = plan.begin_s - product.listed_hours * HOUR_S
        quiet = [(plan.begin_s + a * HOUR_S, plan.begin_s + b * HOUR_S) for a, b in product.quiet]
        name = f"{plan.seed} {product.name}"
        return TradeLog(name, first_s, days, product.activity, [(first_s, listed_s), *quiet])

    return {product.name: trade_log(product) for product in plan.products}
