"""Evaluates the rules on a series, bar by bar: on new bars, and on bars that a correction changed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from app.alerts.bars import compared_bars, history_of, newest_bars
from app.alerts.fingerprint import LATE_BARS, SeriesHistory
from app.alerts.rules import Rule, RuleEvent
from app.alerts.settings import AlertSettings, RuleSettings
from app.indicators.macdv import MacdvSeries, macdv_of_many
from app.indicators.window import WINDOW
from app.market.carry_forward import contiguous_tail, since
from app.market.records import Records
from app.market.timeframes import Timeframe
from app.storage.alert_changes import AlertCursor


class Finding(NamedTuple):
    """An event to raise. `bar` indexes the evaluated records."""

    rule: RuleSettings
    event: RuleEvent
    bar: int
    start_s: int


class Evaluation(NamedTuple):
    """The result of one evaluation of a series.

    `judged`: the evaluated bars, as ranges (first, last); `findings`: all events to raise for them. Bars before
    `done_s` are not evaluated and raise nothing new; if `has_changed`, their alerts may no longer hold.
    """

    cursor: AlertCursor
    judged: list[tuple[int, int]]
    findings: list[Finding]
    done_s: int
    has_changed: bool = False


class RuleEngine:
    """The rules of an installation, by series."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self.rules_of = lru_cache(maxsize=10_000)(self._rules_of)
        self.names_of = lru_cache(maxsize=10_000)(self._names_of)

    def _rules_of(self, product: str, timeframe: Timeframe) -> tuple[tuple[RuleSettings, Rule], ...]:
        """The rules of one series."""
        return tuple((r, r.rule()) for r in self._settings.rules if r.covers(product, timeframe))

    def _names_of(self, product: str, timeframe: Timeframe) -> str:
        """The rules of one series as `name:definition`, each between spaces; other alerts are kept."""
        return "".join([" ", *(f"{r.name}:{r.definition} " for r, _ in self.rules_of(product, timeframe))])

    def evaluate(
        self,
        product: str,
        timeframe: Timeframe,
        records: Records,
        newest: MacdvSeries,
        before: AlertCursor | None,
        begin_s: int = 0,
    ) -> Evaluation:
        """Evaluate the due bars of `records` (closed, oldest first, gaps allowed, at least one).

        `newest`: the values of the window that ends at the last record. `before`: the cursor of the last evaluation;
        None at the first one, which only records the end of history. `begin_s`: as in `SeriesHistory`.
        """
        step, starts, history = timeframe.seconds, records["start_s"], SeriesHistory(records, timeframe, begin_s)
        last_s = int(starts[-1])
        if before is None:
            return Evaluation(
                AlertCursor(last_s, last_s, last_s, history.fingerprint(last_s, last_s)), [], [], last_s + step
            )
        done_s = max(before.pending_s, before.baseline_s + step, last_s - LATE_BARS * step)
        changed_s = history.changed_from(before.fingerprint, before.pending_s, before.evaluated_s)
        from_s = max(done_s, before.evaluated_s + step if changed_s is None else changed_s)
        first = len(records) - (1 if from_s == last_s else len(since(records, from_s)))
        due = [bar for bar, start_s in enumerate(starts[first:].tolist(), first) if not history.hold_back(start_s)]
        evaluated_s = max(before.evaluated_s, last_s)
        pending_s = max(before.pending_s, history.waits_from(done_s))
        return Evaluation(
            AlertCursor(before.baseline_s, evaluated_s, pending_s, history.fingerprint(pending_s, evaluated_s)),
            _ranges([int(starts[bar]) for bar in due], step),
            self._findings(product, timeframe, records, due, newest),
            done_s,
            changed_s is not None,
        )

    def _findings(
        self, product: str, timeframe: Timeframe, records: Records, due: Sequence[int], newest: MacdvSeries
    ) -> list[Finding]:
        """The events to raise for the bars `due`, of which the last may be that of `newest`."""
        windows = [window_at(records, bar, timeframe) for bar in due]
        known = [newest] if due and due[-1] == len(records) - 1 else []
        values = [*macdv_of_many(windows[: len(windows) - len(known)]), *known]
        return [
            Finding(rule, event, bar, int(window["start_s"][-1]))
            for bar, window, of_window in zip(due, windows, values, strict=True)
            for rule, event in self.newest_raised(product, timeframe, window, of_window)
        ]

    def newest_raised(
        self, product: str, timeframe: Timeframe, window: Records, values: MacdvSeries
    ) -> list[tuple[RuleSettings, RuleEvent]]:
        """The events that the rules raise for the last bar of `window`."""
        rules = self.rules_of(product, timeframe)
        if not rules:
            return []
        compared = compared_bars(window, values)
        newest_raised = []
        for settings, rule in rules:
            event = rule.event(compared, len(compared) - 1)
            if event and settings.span:  # only an event needs the history that may suppress it
                count = history_of(int(window["start_s"][-1]), timeframe.seconds, settings.span)
                bars = newest_bars(window, values, max(count, len(compared)))
                event = rule.newest_raised(bars, settings.cooldown_s(timeframe))
            if event:
                newest_raised.append((settings, event))
        return newest_raised

    def rule_of(self, product: str, timeframe: Timeframe, rule: str, definition: str) -> Rule | None:
        """The rule called `rule` if its definition is unchanged; else None, and its alerts cannot be verified."""
        known = self.rules_of(product, timeframe)
        return next((r for s, r in known if (s.name, s.definition) == (rule, definition)), None)


def event_at(rule: Rule, window: Records, values: MacdvSeries) -> str | None:
    """The name of the event at the last bar of `window`, raised or not."""
    bars = compared_bars(window, values)
    event = rule.event(bars, len(bars) - 1)
    return event.name if event else None


def window_at(records: Records, bar: int, timeframe: Timeframe) -> Records:
    """The newest `WINDOW` contiguous records up to `bar`: the input for the value of that bar."""
    return contiguous_tail(records[max(0, bar + 1 - WINDOW) : bar + 1], timeframe)


def _ranges(starts_s: Sequence[int], step: int) -> list[tuple[int, int]]:
    """Ascending starts as ranges (first, last) of adjacent ones."""
    ranges: list[tuple[int, int]] = []
    for start_s in starts_s:
        first_s = ranges.pop()[0] if ranges and ranges[-1][1] == start_s - step else start_s
        ranges.append((first_s, start_s))
    return ranges
