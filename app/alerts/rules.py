"""The alert rules. Pure: bars in, the event to raise for the newest one out.

A rule keeps no state. The event at a bar depends only on the bars up to it, so a restart, a replay, several workers and
any speed give the same result. Cooldowns count bars: exchange time that grows with the timeframe.

An *event* is visible in a bar, such as a crossed level. A rule *raises* it unless it is a repetition: the same event
was raised less than the cooldown before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.alerts.bars import Bars
from app.indicators.stages import Stage
from app.wire.alerts import AlertEvent, Direction, Zone


class RuleEvent(NamedTuple):
    """An event. `name`: such as `-150 down`; equal events of one rule have the same name.

    `detail`: the same in parts, for programs and texts.
    """

    name: str
    detail: AlertEvent


class Rule(ABC):
    """One kind of event. `cooldown_s`: exchange seconds for which a repetition is not raised."""

    @abstractmethod
    def event(self, bars: Bars, bar: int) -> RuleEvent | None:
        """The event at `bar`, compared with the bars before it."""

    def newest_raised(self, bars: Bars, cooldown_s: int) -> RuleEvent | None:
        """The event to raise for the newest bar."""
        return list(self.raised(bars, cooldown_s))[-1] if len(bars) else None

    def raised(self, bars: Bars, cooldown_s: int) -> Iterable[RuleEvent | None]:
        """The event to raise for each bar."""
        last: dict[str, int] = {}
        for bar, start_s in enumerate(bars.start_s):
            event = self.event(bars, bar)
            if event and start_s - last.get(event.name, -cooldown_s) < cooldown_s:
                event = None
            if event:
                last[event.name] = start_s
            yield event


class LevelRule(Rule):
    """MACD-V falls below a negative level, or rises above a positive one; of several, the furthest is raised."""

    def __init__(self, levels: Sequence[float]) -> None:
        self._levels = sorted(levels)

    def event(self, bars: Bars, bar: int) -> RuleEvent | None:
        value, before = bars.macdv[bar], bars.before(bar)
        if value is None or before is None:
            return None
        previous = bars.macdv[before]
        assert previous is not None
        level, direction = _crossed(self._levels, previous, value)
        if level is None or (level < 0) != (direction == "down"):
            return None
        return RuleEvent(f"{level:g} {direction}", {"level": level, "direction": direction})


class ReversalRule(Rule):
    """MACD-V stays beyond ±`zone`, and its histogram shows that it turns back.

    Raised once per visit; a visit ends when the zone is left. Buffers: percent of MACD-V that the histogram must
    exceed in either zone.
    """

    def __init__(self, zone: float, oversold_percent: float, overbought_percent: float) -> None:
        self._zone = zone
        self._percent = {"oversold": oversold_percent, "overbought": overbought_percent}

    def event(self, bars: Bars, bar: int) -> RuleEvent | None:
        value, histogram, before = bars.macdv[bar], bars.histogram[bar], bars.before(bar)
        if value is None or histogram is None or before is None:
            return None
        zone = self._zone_of(value)
        if zone is None or zone != self._zone_of(bars.macdv[before]):
            return None
        buffer = abs(value) * self._percent[zone] / 100
        if (histogram if zone == "oversold" else -histogram) <= buffer:
            return None
        return RuleEvent(zone, {"zone": zone, "buffer": buffer})

    def raised(self, bars: Bars, cooldown_s: int) -> Iterable[RuleEvent | None]:
        last: dict[str, int] = {}
        visit, newest_raised = None, False
        for bar, start_s in enumerate(bars.start_s):
            if bars.macdv[bar] is not None and (zone := self._zone_of(bars.macdv[bar])) != visit:
                visit, newest_raised = zone, False
            event = self.event(bars, bar)
            if event and (newest_raised or start_s - last.get(event.name, -cooldown_s) < cooldown_s):
                event = None
            if event:
                newest_raised, last[event.name] = True, start_s
            yield event

    def _zone_of(self, value: float | None) -> Zone | None:
        if value is None or abs(value) <= self._zone:
            return None
        return "oversold" if value < 0 else "overbought"


class StageRule(Rule):
    """The stage changes: from any of `come_from`, to any of `go_to`."""

    def __init__(self, come_from: Iterable[Stage], go_to: Iterable[Stage]) -> None:
        self._from, self._to = frozenset(come_from), frozenset(go_to)

    def event(self, bars: Bars, bar: int) -> RuleEvent | None:
        stage, before = bars.stage[bar], bars.before(bar)
        previous = None if before is None else bars.stage[before]
        if stage is None or previous is None or stage == previous:
            return None
        if previous not in self._from or stage not in self._to:
            return None
        return RuleEvent(f"{previous} to {stage}", {"from": previous, "to": stage})


class PriceRule(Rule):
    """The close crosses one of `prices` (quote currency) in one of `directions`; of several, the furthest is raised."""

    def __init__(self, prices: Sequence[float], directions: Iterable[str]) -> None:
        self._prices = sorted(prices)
        self._directions = frozenset(directions)

    def event(self, bars: Bars, bar: int) -> RuleEvent | None:
        if not bar:
            return None
        price, direction = _crossed(self._prices, bars.close[bar - 1], bars.close[bar])
        if price is None or direction not in self._directions:
            return None
        return RuleEvent(f"{price:.12g} {direction}", {"price": price, "direction": direction})


def _crossed(lines: Sequence[float], previous: float, value: float) -> tuple[float | None, Direction]:
    """The furthest of `lines` (ascending) that lies between two values, and the direction of the crossing.

    Touching a line is not crossing it; leaving it is.
    """
    if value < previous:
        lowest = bisect_right(lines, value)
        return (lines[lowest] if lowest < len(lines) and lines[lowest] <= previous else None), "down"
    highest = bisect_left(lines, value) - 1
    return (lines[highest] if highest >= 0 and lines[highest] >= previous else None), "up"
