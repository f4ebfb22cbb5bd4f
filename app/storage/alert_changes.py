"""What is stored of alerts, as the rules find it: plain data."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

Fact: TypeAlias = dict[str, Any]
"""JSON-able. Times are UNIX seconds of the exchange's clock, MACD-V in points, prices in quote currency."""


class Alert(NamedTuple):
    """`event` names what happened; it is what a correction can make wrong. `channels`: who is to carry it."""

    id: str
    start_s: int
    event: str
    channels: tuple[str, ...]
    fact: Fact


class Fingerprint(NamedTuple):
    """Fingerprints of the candles that the bars from one on, up to the newest that was looked at, rest on.

    `first_s`: the oldest bucket that is covered. `recent`: of the newest bars; `old`: of those before them.
    """

    first_s: int = 0
    old: int = 0
    recent: int = 0


class AlertCursor(NamedTuple):
    """How far the alerts of a series have come. Bucket starts in UNIX seconds.

    `baseline_s`: the newest bar that existed when the rules were first evaluated; it and older ones raise no alert.
    `evaluated_s`: the newest bar that was evaluated. `pending_s`: bars before it are final; it and later ones are
    evaluated again when `fingerprint`, that of their candles, changes. It is the newest bar, or an older one that waits
    for a missing or provisional candle, or for older history.
    """

    baseline_s: int
    evaluated_s: int
    pending_s: int
    fingerprint: Fingerprint = Fingerprint()


class AlertChange(NamedTuple):
    """`alerts` are all that hold of the bars `judged`, ranges (first, last); a stored one that is not among them no
    longer does, if it came from one of `rules`, their names as the evaluator joins them.

    `is_first`: nobody had looked before; then there is nothing else. `verdicts`: identities of older alerts, and
    whether they still hold.
    """

    cursor: AlertCursor
    is_first: bool
    judged: list[tuple[int, int]]
    rules: str
    alerts: list[Alert]
    verdicts: list[tuple[str, bool]]
