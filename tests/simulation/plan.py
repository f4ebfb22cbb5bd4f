"""The plan of a seed: the market, the installation at each of its starts, and the faults. Pure values."""

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
"""Time until all is certain: a dispute is decided after 15 minutes, an unproven bucket is requested again after 5, 15
and 60 minutes, and an origin after an hour."""


class Product(NamedTuple):
    """`activity`: probability of trades in a bucket. `quiet`: hours without trades since the beginning, from and to."""

    name: str
    activity: float
    listed_hours: float
    quiet: tuple[tuple[float, float], ...] = ()


class Start(NamedTuple):
    """One start of the installation: its hours of running and of downtime afterwards, and its configuration."""

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
    """The source of false data: candles that rest on it may be certain, and wrong for a while."""

    NONE = 0
    STREAM = 1
    REST = 2


class Fault(NamedTuple):
    """`at_s`: seconds since the beginning; `number` distinguishes faults of one kind and seeds their random choices.

    `deceives`: see `KindOfFault`.
    """

    kind: str
    at_s: float
    lasts_s: float
    number: int
    deceives: Liar = Liar.NONE


@dataclass(frozen=True)
class Plan:
    seed: int
    begin_s: float
    products: tuple[Product, ...]
    starts: tuple[Start, ...]
    faults: tuple[Fault, ...]
    density: float
    """Probability that another actor runs before a round trip to Redis."""

    @property
    def hours(self) -> float:
        """Market hours in which the installation runs."""
        return sum(start.hours for start in self.starts)

    @property
    def span_hours(self) -> float:
        return sum(start.hours + start.down_hours for start in self.starts)

    @property
    def liar(self) -> Liar:
        """The source that may send false data which cannot be detected at once."""
        return max((fault.deceives for fault in self.faults), default=Liar.NONE)

    def heal_hours(self) -> float:
        return heal_hours(self.starts[-1].timeframes)

    def last_start_s(self) -> float:
        """Time of the last start, in seconds since the beginning."""
        return sum((s.hours + s.down_hours) * HOUR_S for s in self.starts[:-1])

    def with_faults(self, numbers: frozenset[int]) -> Plan:
        """The same plan with only these faults."""
        return replace(self, faults=tuple(f for f in self.faults if f.number in numbers))


def heal_hours(timeframes: tuple[str, ...]) -> float:
    """Hours after the last fault until everything must be true: one reconciliation of each longer timeframe, one per
    hour, plus the duration of disputes."""
    return len(timeframes) + SETTLING_HOURS


class Size(NamedTuple):
    """Choices for plans: number of products, timeframes, slots of a ring. They determine the cost of a seed."""

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
    """The plan of a seed; `kinds`: the faults to choose from."""
    chance = random.Random(f"simulation {seed}")
    begin_s = EPOCH_S + chance.randrange(24 * 12) * 300 + chance.uniform(0, 300)
    products = tuple(_product(chance, i) for i in range(chance.choice(size.products)))
    starts = _starts(chance, tuple(p.name for p in products), size)
    faults = _faults(chance, begin_s, starts, kinds)
    # End at a time in a bucket at which everything that can settle has settled.
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
    """Durations in seconds. `harms`: makes stored candles wrong until a reconciliation finds them, so no long downtime
    may follow before one. `deceives`: the source whose data may be false, undetectably, while it lasts."""

    shortest_s: float
    longest_s: float
    harms: bool = False
    deceives: Liar = Liar.NONE
    at_start: float = 0.3
    """Probability that it begins soon after a start."""
    of_rest: bool = False


MAX_FAULTS = 6
SOON_S = (1.0, 120.0)
"""Seconds after a start: before the first request, and while the pages of the start are requested."""

BEFORE_RECONCILIATION = 0.3
"""Probability that a fault of REST begins in the ten minutes before a reconciliation, if not at a start."""


def _faults(
    chance: random.Random, first_s: float, starts: tuple[Start, ...], kinds: dict[str, KindOfFault]
) -> tuple[Fault, ...]:
    faults = []
    chosen: set[str] = set()
    # Half of the plans are about REST, which is final; most of these avoid faults that deceive or harm.
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


def trade_logs_of(plan: Plan) -> dict[str, TradeLog]:
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
