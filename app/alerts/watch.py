"""What the rules say of a series, bar by bar: of bars that are new, and of those that a correction changed. Pure."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from app.alerts.bars import history_of, newest_bars
from app.alerts.rules import Event, Rule
from app.alerts.settings import AlertSettings, RuleSettings
from app.continuity import contiguous_tail, since
from app.indicators.macdv import MacdvSeries, macdv_of_many
from app.records import CORRECTED, Records
from app.settings import WINDOW
from app.timeframes import Timeframe

LATE_BARS = 400
"""Bars that are looked at again, or for the first time but late: with their windows they fit into a ring. So long is a
hole waited for, too."""


class Watched(NamedTuple):
    """How far the alerts of a series have come. Bucket starts in UNIX seconds.

    `floor_s`: this bar and older ones are history; they were there when watching began. `evaluated_s`: the newest bar
    that was looked at. `basis`: a fingerprint of what could change the values of old bars.
    """

    floor_s: int
    evaluated_s: int
    basis: int


class Finding(NamedTuple):
    """An event that is to be told. `bar` indexes the records that were looked at."""

    rule: RuleSettings
    event: Event
    bar: int
    start_s: int


class Seen(NamedTuple):
    """What one look at a series found. Every bar from `from_s` on was looked at, and `findings` are all there is."""

    watched: Watched
    from_s: int
    findings: list[Finding]


class Watch:
    """The rules of an installation, by series."""

    def __init__(self, settings: AlertSettings) -> None:
        self._settings = settings
        self.rules_of = lru_cache(maxsize=10_000)(self._rules_of)

    def _rules_of(self, product: str, timeframe: Timeframe) -> tuple[tuple[RuleSettings, Rule], ...]:
        """The rules of one series."""
        return tuple((r, r.rule()) for r in self._settings.rules if r.covers(product, timeframe))

    def look(
        self, product: str, timeframe: Timeframe, records: Records, newest: MacdvSeries, before: Watched | None
    ) -> Seen:
        """Look at the bars of `records` (closed, oldest first, holes allowed, at least one) that are due.

        `newest`: the values of the window that ends at the last record. `before`: what the last look left; None at the
        first one, which only marks where history ends.
        """
        step, last_s = timeframe.seconds, int(records["start_s"][-1])
        basis = basis_of(records, timeframe)
        if before is None:
            return Seen(Watched(last_s, last_s, basis), last_s + step, [])
        from_s = before.evaluated_s + (step if basis == before.basis else 0)
        from_s = max(from_s, before.floor_s + step, last_s - LATE_BARS * step)
        count = 1 if from_s == last_s else len(since(records, from_s))
        due = range(len(records) - count, len(records))
        windows = [window_at(records, bar, timeframe) for bar in due]
        values = macdv_of_many(windows[:-1])
        findings: list[Finding] = []
        evaluated_s = before.evaluated_s
        for bar, window, of_window in zip(due, windows, [*values, newest], strict=False):
            told = self._told(product, timeframe, window, of_window)
            start_s = int(window["start_s"][-1])
            findings += [Finding(rule, event, bar, start_s) for rule, event in told]
            # Behind a hole are too few bars, and those in it may still come, from a slower worker or another page of a
            # backfill: when it is filled, all are looked at again.
            if len(window) > LATE_BARS or len(window) == bar + 1:
                evaluated_s = max(evaluated_s, start_s)
        return Seen(Watched(before.floor_s, evaluated_s, basis), from_s, findings)

    def _told(
        self, product: str, timeframe: Timeframe, window: Records, values: MacdvSeries
    ) -> list[tuple[RuleSettings, Event]]:
        rules = self.rules_of(product, timeframe)
        if not rules:
            return []
        two = newest_bars(window, values, 2)
        told = []
        for settings, rule in rules:
            event = rule.event(two, len(two) - 1)
            if event and settings.span:  # only what happened needs the history that may hide it
                count = history_of(int(window["start_s"][-1]), timeframe.seconds, settings.span)
                event = rule.told(newest_bars(window, values, count), settings.cooldown_s(timeframe))
            if event:
                told.append((settings, event))
        return told

    def holds(self, product: str, timeframe: Timeframe, rule: str, definition: str) -> Rule | None:
        """The rule that is called `rule`, if it still is what it was; else nobody can say whether an alert holds."""
        for settings, known in self.rules_of(product, timeframe):
            if settings.name == rule and settings.definition == definition:
                return known
        return None


def happened(rule: Rule, window: Records, values: MacdvSeries) -> str | None:
    """The name of the event that the last bar of `window` shows, told or not."""
    bars = newest_bars(window, values, 2)
    event = rule.event(bars, len(bars) - 1)
    return event.name if event else None


def window_at(records: Records, bar: int, timeframe: Timeframe) -> Records:
    """The newest `WINDOW` records up to `bar` without a hole: what the value of that bar was computed from."""
    return contiguous_tail(records[max(0, bar + 1 - WINDOW) : bar + 1], timeframe)


def basis_of(records: Records, timeframe: Timeframe) -> int:
    """Changes when a candle was corrected, a hole was filled, or a short history grew backwards."""
    recent = records[-WINDOW:]
    tail = contiguous_tail(recent, timeframe)
    begins_s = int(tail["start_s"][0]) if len(tail) < WINDOW else 0
    if not np.bitwise_or.reduce(recent["flags"]) & CORRECTED:
        return zlib.crc32(b"", begins_s)
    corrected = recent[(recent["flags"] & CORRECTED) != 0]
    return zlib.crc32(b"".join(corrected[field].tobytes() for field in _PRICES), begins_s)


_PRICES = ("start_s", "high", "low", "close")
"""What of a candle a value or an event depends on."""
