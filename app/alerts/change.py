"""What one look at a series changes: what the cache stores, in the same step as the indicator. Pure."""

from __future__ import annotations

from typing import NamedTuple

from app.alerts.facts import Alert
from app.alerts.watch import Watched


class AlertChange(NamedTuple):
    """`alerts` are all that hold of the bars `judged`, ranges (first, last); a stored one that is not among them no
    longer does, if it came from one of `rules` (`Watch.names_of`).

    `is_first`: nobody had looked before; then there is nothing else. `verdicts`: identities of older alerts, and
    whether they still hold.
    """

    watched: Watched
    is_first: bool
    judged: list[tuple[int, int]]
    rules: str
    alerts: list[Alert]
    verdicts: list[tuple[str, bool]]
