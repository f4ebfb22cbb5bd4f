"""Compares an installation with its expected state, derived from the exchange's truth and the configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise, takewhile
from typing import NamedTuple

from app.indicators.window import WINDOW
from app.market.candles import CandleState
from app.market.records import EMPTY, PROVISIONAL, STATE_MASK
from app.market.timeframes import Timeframe
from tests.macdv_reference import reference_macdv
from tests.simulation import seams
from tests.simulation.market import TradeLog
from tests.simulation.venue import PAGE
from tests.simulation.world import World

SETTLING_S = 60
SPARE = 2
"""A ring of n slots promises the newest n − 2 closed buckets."""
SURVEYS_S = {300: 900, 900: 3600, 3600: 14_400, 14_400: 86_400, 86_400: 86_400}
"""Longer buckets, by timeframe: one page of them spans a ring."""
HOURLY_S = 4500
"""Time within which provable buckets have been requested again."""
TURN_S = 420
"""Time until the scan finds a longer candle that cannot be built and requests it after those of 5m."""
MAX_REPORTED = 6
MAX_REPEATED = 10
"""Most requests for the same page within a minute, without retries after errors. A server that contradicts itself with
every response gets six requests; a loop would send hundreds."""


@dataclass
class Verdict:
    """Broken promises, one line each; empty lists if there are none."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    emptied: list[str] = field(default_factory=list)
    deceived: list[str] = field(default_factory=list)
    indicators: list[str] = field(default_factory=list)
    over_budget: list[str] = field(default_factory=list)
    wasted: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)

    @property
    def broken(self) -> dict[str, list[str]]:
        return {name: lines for name, lines in vars(self).items() if lines}

    def lines(self) -> Iterator[str]:
        for name, lines in self.broken.items():
            yield f"{name}: {len(lines)}"
            yield from (f"    {line}" for line in islice(lines, MAX_REPORTED))


@dataclass(frozen=True)
class Candle:
    """Expected content of a bucket. `required`: it must exist. `proven`: a response proves its values, so they must not
    stay wrong."""

    values: tuple[float, float, float, float, float]
    trades: bool
    required: bool
    proven: bool


def judge(world: World) -> Verdict:
    """Judge the state of `world`, long after its last fault."""
    verdict = Verdict(emptied=world.emptied_buckets, deceived=world.deceptions, crashes=world.crashes,
                      over_budget=list(_bursts(world)),
                      wasted=list(_repeated(world)))  # fmt: skip
    start, now_s = world.start, world.scheduler.now_s
    for product in start.products:
        if not world.venue.listed[product]:
            continue  # delisted: its candles may be shown, nothing is promised
        for name in start.timeframes:
            step_s = Timeframe(name).seconds
            settled_s = int((now_s - SETTLING_S) // step_s) * step_s - step_s
            truth = expected(world.venue.trade_logs[product], step_s, settled_s, now_s, start.capacity - SPARE)
            held = stored(product, name, settled_s)
            for start_s, candle in truth.items():
                _compare(verdict, f"{product} {name} {start_s} ({(settled_s - start_s) // step_s} back)", candle,
                         held.get(start_s))  # fmt: skip
            verdict.indicators += _wrong_indicator(world, product, name, step_s)
    return verdict


def expected(trade_log: TradeLog, step_s: int, settled_s: int, now_s: float, buckets: int) -> dict[int, Candle]:
    """Every bucket of the newest `buckets` up to `settled_s` from the product's first trade on, by its start.

    A bucket is required only if the exchange's responses prove it by `now_s` (`_unproven`).
    """
    first_s = max(settled_s - (buckets - 1) * step_s, trade_log.first_s)
    close = trade_log.close_before(first_s)
    bars = {bar.start_s: bar for bar in trade_log.bars(step_s, first_s, settled_s)}
    found: dict[int, Candle] = {}
    unproven, undecided = _unproven(sorted(bars), step_s, settled_s, now_s), _undecided(sorted(bars), step_s, now_s)
    for start_s in range(first_s, settled_s + 1, step_s):
        required = not any(first_s <= start_s < end_s for first_s, end_s in unproven)
        proven = required and not any(first_s <= start_s < end_s for first_s, end_s in undecided)
        if (bar := bars.get(start_s)) is not None:
            close = bar.close
            found[start_s] = Candle(bar[1:], True, required, proven)
        elif close is not None:
            found[start_s] = Candle((close, close, close, close, 0.0), False, required, proven)
    return found


def _unproven(traded: list[int], step_s: int, settled_s: int, now_s: float) -> list[tuple[int, int]]:
    """Ranges (first start, end) of buckets that no response proves: before the first trade, and behind the last one.
    For longer candles also everything behind the trade before the last, while the last has just settled and no page of
    5m spans the silence before it: such a candle cannot be built.

    A gap that no page spans is proven by a page of longer buckets, once its row behind the gap has settled. The page
    proves nothing within that row: the part of the gap in that bucket waits for the next trade, and then for its turn
    within an hour.
    """
    if not traded:
        return [(0, 2**40)]
    ranges = [(0, traded[0]), (traded[-1] + step_s, 2**40)]
    is_new = now_s < traded[-1] + step_s + SETTLING_S + TURN_S
    if step_s > 300 and is_new and len(traded) > 1 and traded[-1] - traded[-2] >= (PAGE - 1) * 300:
        ranges.append((traded[-2] + step_s, traded[-1] + step_s))
    wide_s = SURVEYS_S[step_s]
    for before_s, behind_s, next_s in zip(traded, traded[1:], [*traded[2:], 2**40], strict=False):
        if behind_s - before_s < (PAGE - 1) * step_s:
            continue
        if now_s < behind_s // wide_s * wide_s + wide_s + SETTLING_S + TURN_S:
            ranges.append((before_s + step_s, behind_s))
        elif next_s // wide_s * wide_s + wide_s > settled_s - HOURLY_S:
            ranges.append((behind_s // wide_s * wide_s, behind_s))
    return ranges


def _undecided(traded: list[int], step_s: int, now_s: float) -> list[tuple[int, int]]:
    """Ranges of buckets that responses describe but do not decide: the last trade, since a response may end with half
    of it; and buckets before a trade, until two responses after it have contradicted the first: for a survey, after the
    end of its longer bucket, if no page spans the gap."""
    if not traded:
        return []
    ranges = [(traded[-1], traded[-1] + step_s)]
    for before_s, behind_s in pairwise(traded):
        row_s = SURVEYS_S[step_s] if behind_s - before_s >= (PAGE - 1) * step_s else step_s
        if now_s < behind_s + row_s + 2 * HOURLY_S:
            ranges.append((before_s + step_s, behind_s))
    return ranges


class Held(NamedTuple):
    """A stored candle."""

    values: tuple[float, ...]
    trades: bool
    provisional: bool


def stored(product: str, timeframe: str, settled_s: int) -> dict[int, Held]:
    """Closed and confirmed candles up to `settled_s`."""
    return {
        start_s: Held(tuple(values), not flags & EMPTY, bool(flags & PROVISIONAL))
        for start_s, flags, _, *values in seams.ring(product, timeframe).tolist()
        if start_s <= settled_s and flags & STATE_MASK >= CandleState.CLOSED
    }


def _compare(verdict: Verdict, place: str, candle: Candle, held: Held | None) -> None:
    if held is None:
        if candle.required:
            verdict.lost.append(f"{place}: missing, {'has trades' if candle.trades else 'is empty'}")
    elif held[:2] != (candle.values, candle.trades) and not _is_honest(candle, held):
        verdict.wrong.append(f"{place}: {held}; it is {candle.values, candle.trades}")


def _is_honest(candle: Candle, held: Held) -> bool:
    """Whether the candle is provisional and no response proves its bucket."""
    return held.provisional and not candle.proven


def _wrong_indicator(world: World, product: str, timeframe: str, step_s: int) -> list[str]:
    """The newest value must rest on the newest candle and on a full window, and equal the definition."""
    place, value = f"{product} {timeframe}", seams.indicator(product, timeframe)
    now_s = world.scheduler.now_s
    closed_s = int(now_s // step_s) * step_s - step_s
    truth = expected(world.venue.trade_logs[product], step_s, closed_s, now_s, world.start.capacity - SPARE)
    held = {start_s: h for start_s, h in stored(product, timeframe, closed_s).items() if start_s in truth}
    if not held:
        return []  # expected candles are counted as lost
    if value is None or value["start"] != max(held):
        return [f"{place}: the newest is of {value and value['start']}, the newest candle of {max(held)}"]
    bars = [truth[s] for s in sorted(truth) if s <= value["start"]][-value["candles"] :]
    older = (truth[s].required for s in sorted(truth, reverse=True) if s <= value["start"])
    proven = sum(1 for _ in takewhile(bool, older))
    if value["candles"] < min(WINDOW, proven):
        return [f"{place}: rests on {value['candles']} candles, {proven} are proven"]
    if len(bars) < value["candles"] or not value["ready"]:
        return []  # rests on buckets beyond the promised range
    if any(_is_honest(truth[s], held[s]) for s in sorted(held)[-value["candles"] :]):
        return []  # provisional like its candles
    _, high, low, close, _ = zip(*(bar.values for bar in bars), strict=True)
    reference = reference_macdv(high, low, close, [bar.trades for bar in bars])
    return [
        f"{place}: {name} is {value.get(name)}, it should be {theirs[-1]}"
        for name, theirs in reference.items()
        if not _same(value.get(name), theirs[-1])
    ]


def _same(ours: float | None, theirs: float | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    return abs(ours - theirs) <= 1e-9 * max(1.0, abs(theirs))


def _bursts(world: World) -> Iterator[str]:
    """Seconds with more requests than the smallest budget of the plan allows."""
    arrived = sorted(world.venue.requests_us)
    most = int(max(start.per_second for start in world.plan.starts))
    for first, last in zip(arrived, arrived[most:], strict=False):
        if last - first < 1_000_000:
            yield f"{most + 1} requests within {(last - first) / 1e6:.3f} s at {first / 1e6 - world.plan.begin_s:.1f} s"


def _repeated(world: World) -> Iterator[str]:
    """Pages requested too often within a minute."""
    for (product, step_s, first_s, last_s), given in world.venue.pages_us.items():
        for first, last in zip(given, given[MAX_REPEATED:], strict=False):
            if last - first < 60_000_000:
                at_s = first / 1e6 - world.plan.begin_s
                times = sum(first <= us < first + 60_000_000 for us in given)
                yield f"{product} {step_s // 60}m {first_s} to {last_s}: {times} times in the minute from {at_s:.0f} s"
                break
