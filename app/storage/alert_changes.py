"""Stored state of alerts, and changes of it: plain data."""

from __future__ import annotations

from typing import NamedTuple

from app.wire.alerts import AlertFact


class Alert(NamedTuple):
    """`event`: the name of the event; a correction can make it wrong. `channels`: channels to deliver to."""

    id: str
    start_s: int
    event: str
    channels: tuple[str, ...]
    fact: AlertFact


class Fingerprint(NamedTuple):
    """Fingerprints of the candles that a range of bars, up to the newest evaluated one, is computed from.

    `first_s`: the oldest bucket included. `recent`: for the newest bars. `old`: for the bars before them.
    """

    first_s: int = 0
    old: int = 0
    recent: int = 0


class AlertCursor(NamedTuple):
    """How far the rules have evaluated a series. Bucket starts in UNIX seconds.

    `baseline_s`: the newest bar when the rules were first evaluated; it and older bars raise no alert. `evaluated_s`:
    the newest evaluated bar. `pending_s`: bars before it are final. It and later bars are evaluated again if the
    `fingerprint` of their candles changes. It is the newest bar, or an older one that waits for a missing or
    provisional candle, or for older history.
    """

    baseline_s: int
    evaluated_s: int
    pending_s: int
    fingerprint: Fingerprint = Fingerprint()


class AlertChange(NamedTuple):
    """`alerts`: all that hold for the bars `judged`, ranges (first, last). A stored alert of these bars that is not
    among them no longer holds, if it came from one of `rules` (names as the evaluator joins them).

    `is_first`: the first evaluation of the series; then the rest is empty. `verdicts`: ids of older alerts, and
    whether they still hold.
    """

    cursor: AlertCursor
    is_first: bool
    judged: list[tuple[int, int]]
    rules: str
    alerts: list[Alert]
    verdicts: list[tuple[str, bool]]
