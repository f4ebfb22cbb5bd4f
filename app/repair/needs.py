"""What a series lacks, which page of REST would tell, and what the answer proves. Pure."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from app.cache.model import View, Write
from app.candles import State, UnifiedCandle
from app.gaps import fill_empty, merge, missing
from app.records import UNSETTLED, Records, has_trades, over, state_of, to_records
from app.series import Series
from app.timeframes import Timeframe

Starts: TypeAlias = npt.NDArray[np.int64]
"""Bucket starts, UNIX seconds, ascending."""

PAGE = 350
"""Buckets in one REST request, at most."""

ANCHOR = 5
"""Buckets before what is lacking, among which one is looked for that the answer must agree with."""


VOLUME_ROUNDING = 1e-9
"""Relative difference of two sums of the same volumes."""


class Rules(NamedTuple):
    """How long after its end a bucket is left to the stream, and how long REST may still change it."""

    grace_s: float
    settling_s: float

    def newest(self, timeframe: Timeframe, now_s: float) -> int:
        """Start of the newest bucket that is to be there at `now_s` (exchange time)."""
        return timeframe.last_over(now_s - self.grace_s)

    def settled(self, timeframe: Timeframe, now_s: float) -> int:
        """Start of the newest bucket on which an answer to a question at `now_s` is final."""
        return timeframe.last_over(now_s - self.settling_s)

    def settles_s(self, timeframe: Timeframe, start_s: int) -> float:
        """Exchange time from which an answer on the bucket is final."""
        return start_s + timeframe.seconds + self.settling_s


class Need(NamedTuple):
    """One page to ask for, `first_s` to `last_s`; `seed` where the series was never asked for."""

    first_s: int
    last_s: int
    seed: bool = False


class Proof(NamedTuple):
    """What an answer proves: the `write` for the cache, and the buckets in which it contradicts what was certain.

    Certain is what REST itself confirmed, and that there were trades where some were seen.
    """

    write: Write
    contradicted: list[int]

    def reaches_back(self, need: Need) -> bool:
        """Whether what was wrong may go on before the page: its oldest buckets are among them."""
        timeframe = self.write.series.timeframe
        return any(start < need.first_s + ANCHOR * timeframe.seconds for start in self.contradicted)


def lacking(view: View, timeframe: Timeframe, now_s: float, rules: Rules) -> Starts:
    """Starts of the buckets, oldest first, that should be closed and are not, or that REST closed too early.

    `view` must reach from the ring's beginning to `rules.newest`.
    """
    step, newest = timeframe.seconds, rules.newest(timeframe, now_s)
    # The slot of the open bucket is that of the ring's oldest.
    origin = max(view.origin_s, view.from_s + 2 * step)
    flags, starts = view.records["flags"], view.records["start_s"]
    early = ((flags & UNSETTLED) != 0) & (starts <= rules.settled(timeframe, now_s))
    known = view.records[~early] if early.any() else view.records
    lost: Starts = missing(known, step, origin, newest)
    return lost


def need_of(view: View, timeframe: Timeframe, now_s: float, rules: Rules) -> Need | None:
    """The oldest page of what is lacking."""
    newest = rules.newest(timeframe, now_s)
    if not view.origin_s:
        return Need(newest - (PAGE - 1) * timeframe.seconds, newest, seed=True)
    pages = merge(lacking(view, timeframe, now_s, rules), timeframe.seconds, PAGE)
    return _with_an_anchor(view, *pages[0], timeframe.seconds) if pages else None


def _with_an_anchor(view: View, first_s: int, last_s: int, step: int) -> Need:
    """The page, and what is known just before it: back to a candle that REST has confirmed, at most `ANCHOR` buckets.

    An answer that is of something else contradicts it; and where only the stream has vouched for what comes after it,
    the trouble may have begun there. It costs no request of its own.
    """
    near = view.records[(view.records["start_s"] < first_s) & (view.records["start_s"] >= first_s - ANCHOR * step)]
    near = near[near["start_s"] >= view.origin_s]
    anchors = near["start_s"][(state_of(near) == State.CONFIRMED) & has_trades(near)]
    closed = near["start_s"][(state_of(near) == State.CLOSED) & (near["start_s"] == first_s - step)]
    begin_s = int(min([first_s, *anchors[-1:], *closed]))
    return Need(begin_s, min(last_s, begin_s + (PAGE - 1) * step))


def left_to_ask(view: View, timeframe: Timeframe, now_s: float, rules: Rules) -> float | None:
    """Exchange time at which the next question makes sense; None where nothing is left to ask."""
    if not view.origin_s:
        return rules.settles_s(timeframe, rules.newest(timeframe, now_s))
    early = view.records["start_s"][(view.records["flags"] & UNSETTLED) != 0]
    left = [*lacking(view, timeframe, now_s, rules)[:1], *early[:1]]
    return rules.settles_s(timeframe, int(min(left))) if left else None


def page_of_reconciliation(view: View, timeframe: Timeframe, settled_s: int) -> Need | None:
    """The newest page of settled buckets; None for a series that was never asked for or has none."""
    first = max(settled_s - (PAGE - 1) * timeframe.seconds, view.origin_s, view.from_s)
    return Need(first, settled_s) if view.origin_s and first <= settled_s else None


def prove(series: Series, need: Need, page: list[UnifiedCandle], view: View, asked_ms: int, rules: Rules) -> Proof:
    """What the answer `page` (oldest first) to `need`, asked at `asked_ms` (exchange time), proves.

    `view` holds what is known of the buckets of `need` and of the one before. Settled buckets are confirmed, the absent
    ones among them as empty. Younger ones are only closed, and not even that where more trades were seen already.
    """
    step = series.timeframe.seconds
    settled_s = min(rules.settled(series.timeframe, asked_ms / 1000), need.last_s)
    records = to_records(page)
    final = records[records["start_s"] <= settled_s]
    final["flags"] = State.CONFIRMED
    final["observed_ms"] = asked_ms
    before = over(view.records[view.records["start_s"] == need.first_s - step])
    previous_close = float(before["close"][0]) if len(before) else None
    proven = fill_empty(final, need.first_s, settled_s, step, previous_close, State.CONFIRMED, asked_ms)
    early = _early(records[records["start_s"] > settled_s], view.records)
    found = np.concatenate([proven, early])

    origin_s = None
    if previous_close is None:  # nothing to carry into leading empty buckets: the series begins behind them
        if len(found):
            origin_s = int(found["start_s"][0])
        elif settled_s >= need.first_s:
            origin_s = settled_s + step
    return Proof(Write(series, found, origin_s), _contradicted(proven, over(view.records)))


def _early(records: Records, known: Records) -> Records:
    """Unsettled candles as closed ones that every other word on them replaces; without those that lag behind."""
    seen = {int(r["start_s"]): float(r["volume"]) for r in known}
    keep = [r["volume"] >= seen.get(int(r["start_s"]), 0.0) for r in records]
    early: Records = records[np.array(keep, dtype=bool)]
    early["flags"] = State.CLOSED | UNSETTLED
    early["observed_ms"] = early["start_s"].astype(np.uint64) * 1000
    return early


def _contradicted(proven: Records, known: Records) -> list[int]:
    """Buckets that were confirmed and differ, or had trades and are empty."""
    _, new, old = np.intersect1d(proven["start_s"], known["start_s"], assume_unique=True, return_indices=True)
    proven, known = proven[new], known[old]
    differ = np.zeros(len(proven), dtype=bool)
    for field in ("open", "high", "low", "close"):
        differ |= proven[field] != known[field]
    differ |= np.abs(proven["volume"] - known["volume"]) > VOLUME_ROUNDING * known["volume"]
    emptied = has_trades(known) & ~has_trades(proven)
    wrong = emptied | (differ & (state_of(known) == State.CONFIRMED) & has_trades(known))
    return [int(s) for s in proven["start_s"][wrong]]
