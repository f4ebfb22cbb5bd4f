"""Decides what a REST response proves about a series. Pure.

Absence is not evidence: a bucket is confirmed as empty if the response covers it and has a settled row after it, or
if an ingest recorded that its stream was silent for the whole bucket. One response alone never removes trades once
seen (see `Contradictions`). The whole rule: docs/architecture.md, "When a bucket is proven".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.backfill.contradictions import AGREE_S, VOLUME_ROUNDING, compare, contradicts
from app.backfill.missing import ANCHOR
from app.backfill.origin import origin_by
from app.exchange.adapter import Page
from app.market.candles import CandleState
from app.market.carry_forward import carried_forward
from app.market.gaps import fill_empty, merge
from app.market.records import (
    EMPTY,
    GUARDED,
    PROVISIONAL,
    RECORD,
    SILENT,
    Records,
    has_trades,
    state_of,
    to_records,
)
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.model import View, Write
from app.storage.requests import PageRequest, Rules


class PageResult(NamedTuple):
    """The result of interpreting a response.

    `write`: for the cache; empty if the response may not be used yet. `disputed`: claims of this and earlier responses
    against certain candles, until another response agrees. `overruled`: confirmed candles that REST now contradicts.
    `unheld`: confirmed candles missing from this response. `is_trusted`: whether every candle that it contradicts was
    contradicted before.
    """

    write: Write
    disputed: Records
    overruled: Records
    unheld: Records
    is_trusted: bool

    def provisional_ranges(self, requested: PageRequest, view: View) -> list[tuple[int, int]]:
        """Ranges (first and last bucket) of confirmed candles that may be wrong.

        These are `unheld`. If candles are overruled, also candles confirmed within `AGREE_S` of one, perhaps by the
        same server, unless this page proves them; and all beyond an edge of the page, if one was wrong near it.
        """
        step, held = self.write.series.timeframe.seconds, view.over
        starts = held["start_s"].astype(np.int64)
        provisional_ranges = np.isin(starts, self.unheld["start_s"].astype(np.int64))
        if len(self.overruled):
            wrong = self.overruled["start_s"].astype(np.int64)
            elsewhere = ~np.isin(starts, self.write.records["start_s"].astype(np.int64))
            apart_ms = _apart(held["observed_ms"].astype(np.int64), self.overruled["observed_ms"].astype(np.int64))
            provisional_ranges |= elsewhere & (state_of(held) == CandleState.CONFIRMED) & (apart_ms <= AGREE_S * 1000)
            provisional_ranges |= (starts < requested.first_s) & (wrong.min() < requested.first_s + ANCHOR * step)
            provisional_ranges |= (starts > requested.last_s) & (wrong.max() > requested.last_s - ANCHOR * step)
        return merge(starts[provisional_ranges], step)


def _apart(times: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Distance of each of `times` from the nearest of `others` (at least one)."""
    others = np.unique(others)
    behind = np.searchsorted(others, times)
    before_ms, after_ms = others[np.maximum(behind - 1, 0)], others[np.minimum(behind, len(others) - 1)]
    apart_ms: npt.NDArray[np.int64] = np.minimum(abs(times - before_ms), abs(times - after_ms))
    return apart_ms


def interpret(
    series: Series, requested: PageRequest, page: Page, view: View, disputed: Records, requested_ms: int, rules: Rules
) -> PageResult:
    """Interpret `page`, the response to `requested`, requested at `requested_ms` (exchange time).

    `view`: everything known of the series up to the newest bucket. `disputed`: claims of earlier responses against
    it.
    """
    step, requested_s = series.timeframe.seconds, requested_ms / 1000
    rows = to_records(c for c in page.candles if c.start_s <= rules.newest(series.timeframe, requested_s))
    settled_s = min(rules.settled(series.timeframe, requested_s), requested.last_s)
    proven = _covered(rows, page, settled_s, step, requested_ms)
    proven = proven[proven["start_s"] >= view.from_s + step]
    against = compare(proven, view.records, disputed, requested_ms)
    origin = origin_by(view, requested, rows[rows["start_s"] <= settled_s], requested_s, step)
    if not against.is_trusted:
        return PageResult(Write(series, rows[:0]), against.disputed, rows[:0], rows[:0], is_trusted=False)
    sure = against.sure
    unheld = _unheld(view, requested, page, rows, proven, requested_ms)
    read = set(rows["start_s"].tolist()) | page.unreadable
    silent = _silent(view, requested._replace(last_s=settled_s), sure, unheld, read, requested_ms)
    early = _early(rows[~np.isin(rows["start_s"], proven["start_s"])], view.records)
    early = early[early["start_s"] >= view.from_s + step]
    found = np.concatenate([sure, silent, early])
    found = _guarded(found[np.argsort(found["start_s"], kind="stable")], against.overruling)
    write = Write(series, found, origin, view.origin.start_s)
    return PageResult(write, against.disputed, against.overruled, unheld, is_trusted=True)


def interpret_survey(
    series: Series, survey: PageRequest, page: Page, view: View, disputed: Records, requested_ms: int, rules: Rules
) -> PageResult:
    """Interpret `page`, of a longer timeframe: which buckets of `series` are empty, and where its origin is.

    If a longer bucket is covered but absent, all its buckets are empty. If its known candles have all its volume, its
    missing buckets are empty. Provisional candles with trades in an empty one are disputed, as by any page.
    """
    step, longer, requested_s = series.timeframe.seconds, survey.timeframe, requested_ms / 1000
    rows = to_records(c for c in page.candles if c.start_s <= rules.newest(longer, requested_s))
    settled_s = min(rules.settled(longer, requested_s), survey.last_s)
    covered = _covered(rows, page, settled_s, longer.seconds, requested_ms)
    origin = origin_by(view, survey, _children_of_first(rows, view, longer), requested_s, longer.seconds)
    closes = [None, *covered["close"].tolist()]
    made = [
        _proven_children(p, close, view, longer, step, requested_ms) for p, close in zip(covered, closes, strict=False)
    ]
    found = np.concatenate([view.records[:0], *made])
    newest_s = rules.newest(series.timeframe, requested_s)
    found = found[(found["start_s"] >= view.from_s + step) & (found["start_s"] <= newest_s)]
    against = compare(found, view.records, disputed, requested_ms)
    sure = _guarded(against.sure, against.overruling)
    write = Write(series, sure, origin if against.is_trusted else None, view.origin.start_s)
    return PageResult(write, against.disputed, against.overruled, found[:0], against.is_trusted)


def _guarded(found: Records, overruling: Sequence[int]) -> Records:
    """Flag `found` as guarded, except `overruling`: candles with more trades, written since, are kept."""
    found["flags"][~np.isin(found["start_s"], np.array(overruling, dtype=np.int64))] |= GUARDED
    return found


# Coverage of a response.


def _covered(rows: Records, page: Page, settled_s: int, step: int, requested_ms: int) -> Records:
    """Confirmed records of the buckets that `page` decides: its settled rows, and empty ones between them.

    The row of the open bucket proves the rows before it, not absence: it may come from another source.
    """
    final = rows[rows["start_s"] <= min(settled_s, page.covers_to_s)].copy()
    final["flags"] = CandleState.CONFIRMED
    final["observed_ms"] = requested_ms
    if not len(final):
        return final
    settled_rows = rows["start_s"][rows["start_s"] <= settled_s]
    last_s = min(page.covers_to_s, int(settled_rows[-1]), settled_s)
    filled = fill_empty(final, last_s, step, requested_ms)
    if not page.unreadable:
        return filled
    # The close of an unreadable row is unknown, and so are the empty candles after it.
    known: Records = filled[~carried_forward(filled, np.isin(filled["start_s"], sorted(page.unreadable)))]
    return known


def _unheld(
    view: View, requested: PageRequest, page: Page, rows: Records, proven: Records, requested_ms: int
) -> Records:
    """Confirmed candles with trades inside `requested` that the response neither has nor covers.

    Also the empty candles after them, which repeat their close; and, if the oldest is one of them, the one before it,
    so that it is requested, too. The server may be late, or an earlier response was of another product. Buckets that
    ended less than `AGREE_S` ago are left out: many servers are late by some seconds.
    """
    held, step = view.over, requested.timeframe.seconds
    starts, traded = held["start_s"].astype(np.int64), has_trades(held)
    confirmed = (state_of(held) == CandleState.CONFIRMED) & (held["observed_ms"] <= requested_ms)
    confirmed_trades = confirmed & traded
    requested_trades = confirmed_trades & (starts >= requested.first_s) & (starts <= requested.last_s)
    if not requested_trades.any():
        return held[:0]
    _, said, known = np.intersect1d(rows["start_s"], held["start_s"], assume_unique=True, return_indices=True)
    spoken_of = {*starts[known[~contradicts(rows[said], held[known])]].tolist(), *proven["start_s"].tolist()}
    absent = requested_trades & ((starts + step + AGREE_S) * 1000 <= requested_ms)
    absent &= ~np.isin(starts, sorted(spoken_of | page.unreadable))
    if absent[np.argmax(requested_trades)]:
        absent |= starts == max(starts[confirmed_trades & (starts < requested.first_s)], default=0)
    unheld: Records = held[carried_forward(held, absent) & confirmed]
    return unheld


def _silent(
    view: View, settled: PageRequest, sure: Records, unheld: Records, read: set[int], requested_ms: int
) -> Records:
    """Empty candles for silent buckets that are absent from the response, if the close before them is known.

    `settled`: the settled part of the request. `read`: the buckets with a row, readable or not.
    After a provisional candle they are provisional, too: they repeat its close.
    """
    held, step = view.over, settled.timeframe.seconds
    unsure = held[((held["flags"] & PROVISIONAL) != 0) | np.isin(held["start_s"], unheld["start_s"])]
    again = unsure[(unsure["flags"] & SILENT) != 0]["start_s"].tolist()
    if not view.silent_s and not again:
        return sure[:0]
    present = read | set(sure["start_s"].tolist())
    closes = {**_column(held, "close"), **_column(sure, "close")}
    uncertain = set(unsure["start_s"].tolist()) - set(sure["start_s"].tolist())
    made: list[tuple[float, ...]] = []
    for start_s in sorted({*view.silent_s, *again}):
        close = closes.get(start_s - step)
        if settled.first_s <= start_s <= settled.last_s and start_s not in present and close is not None:
            closes[start_s] = close
            flags = CandleState.CONFIRMED | EMPTY | SILENT
            uncertain.discard(start_s)
            if start_s - step in uncertain:
                flags |= PROVISIONAL
                uncertain.add(start_s)
            made.append((start_s, flags, requested_ms, close, close, close, close, 0.0))
    return np.array(made, dtype=RECORD)


def _column(records: Records, name: str) -> dict[int, float]:
    """One field of each record, by its start."""
    return dict(zip(records["start_s"].tolist(), records[name].tolist(), strict=True))


def _early(records: Records, known: Records) -> Records:
    """Unproven rows as provisional closed candles, which any other source replaces; without rows that lag."""
    seen = _column(known, "volume")
    rows = zip(records["start_s"].tolist(), records["volume"].tolist(), strict=True)
    keep = [volume >= seen.get(start_s, 0.0) for start_s, volume in rows]
    early: Records = records[np.array(keep, dtype=bool)]
    early["flags"] = CandleState.CLOSED | PROVISIONAL
    early["observed_ms"] = early["start_s"].astype(np.uint64) * 1000
    return early


# Children of a longer bucket.


def _children_of_first(rows: Records, view: View, longer: Timeframe) -> Records:
    """The oldest known candle with trades, if it lies in the oldest of `rows` (of `longer`); else no row.

    No row either if that one has older trades than are known: their buckets are not known yet.
    """
    traded = view.over[has_trades(view.over)]
    if not len(rows) or not len(traded):
        return rows[:0]
    parent, first = rows[0], traded[:1]
    if longer.bucket(int(first["start_s"][0])) != int(parent["start_s"]):
        return rows[:0]
    return first if _explained(parent, _known_children(parent, view, longer)) else rows[:0]


def _known_children(parent: np.void, view: View, longer: Timeframe) -> Records:
    closed, start_s = view.over, int(parent["start_s"])
    inside: Records = closed[(closed["start_s"] >= start_s) & (closed["start_s"] < start_s + longer.seconds)]
    return inside


def _explained(parent: np.void, children: Records) -> bool:
    """Whether the known `children` have all the trades of `parent`."""
    traded = children[has_trades(children)]
    volume = float(traded["volume"].sum())
    is_all = abs(volume - parent["volume"]) <= VOLUME_ROUNDING * max(volume, float(parent["volume"]))
    return bool(len(traded) and is_all and traded["close"][-1] == parent["close"])


def _proven_children(
    parent: np.void, close: float | None, view: View, longer: Timeframe, step: int, requested_ms: int
) -> Records:
    """Children of a covered `parent` whose trades are all known: provisional ones are right, missing ones are empty.
    If it is empty, all are empty, even provisional ones. `close`: of the bucket before it, if known.
    """
    known, first_s = _known_children(parent, view, longer), int(parent["start_s"])
    if int(parent["flags"]) & EMPTY:
        if (has_trades(known) & ((known["flags"] & PROVISIONAL) == 0)).any():
            return known[:0]
        known = known[~has_trades(known)]
        close = float(parent["close"])
    elif not _explained(parent, known):
        return known[:0]
    end_s = first_s + longer.seconds
    inside = view.records[(view.records["start_s"] >= first_s) & (view.records["start_s"] < end_s)]
    forming = set(inside["start_s"][(state_of(inside) == CandleState.FORMING) & has_trades(inside)].tolist())
    closes = _column(known, "close")
    made: list[tuple[float, ...]] = []
    for start_s in range(first_s, end_s, step):
        if start_s in closes:
            close = closes[start_s]
        elif close is not None and start_s not in forming:
            made.append((start_s, CandleState.CONFIRMED | EMPTY, requested_ms, close, close, close, close, 0.0))
    right = known[((known["flags"] & PROVISIONAL) != 0) & has_trades(known)]
    right["flags"], right["observed_ms"] = CandleState.CONFIRMED, requested_ms
    proven = np.concatenate([np.array(made, dtype=RECORD), right])
    return proven[np.argsort(proven["start_s"])]
