"""Arguments and results of the candle cache. Pure values."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from app.market.records import RECORD, SILENT, STATE_MASK, Records, joined, over
from app.market.series import Series


class Outcome(IntEnum):
    """Result of the compare-and-set of a candle."""

    REFUSED = 0
    """The stored record knows more, or the ring no longer reaches back that far."""
    UNCHANGED = 1
    """The same candle was stored."""
    INSERTED = 2
    """The bucket had no closed candle before."""
    CORRECTED = 3
    """Another closed candle was stored."""
    CONFIRMED = 4
    """The same candle was stored, and REST has now confirmed it."""
    UPDATED = 5
    """The forming candle of an open bucket, or a note on a bucket without a candle."""
    RESOLVED = 6
    """The same candle was stored, and is no longer provisional."""


CHANGES = (Outcome.INSERTED, Outcome.CORRECTED, Outcome.RESOLVED)
"""After these, aggregates, indicators and alerts of the bucket must be recomputed."""


class Origin(NamedTuple):
    """Start of a series, by REST: nothing before the bucket `start_s` (0: no trade is known).

    `responses`: number of agreeing responses, each some time after the last one. `seen_s`: exchange time of the latest.
    """

    start_s: int
    seen_s: int
    responses: int

    @classmethod
    def given(cls, start_s: int) -> Self:
        """A known origin, for which no request is needed."""
        return cls(start_s, 0, MAX_RESPONSES)

    @property
    def is_proven(self) -> bool:
        """Whether nothing is expected before it. One response is not enough: it may have been short."""
        return self.responses >= PROVEN_RESPONSES and self.start_s > 0


PROVEN_RESPONSES, MAX_RESPONSES = 2, 3
NO_ORIGIN = Origin(0, 0, 0)


class Range(NamedTuple):
    """Buckets of a series: starts of the first and the last."""

    series: Series
    first_s: int
    last_s: int


class Write(NamedTuple):
    """Candles for one series.

    `origin`: the new origin. It is stored if the current one starts at `known_origin_s`, or later than the new one.
    """

    series: Series
    records: Records
    origin: Origin | None = None
    known_origin_s: int = 0


class Written(NamedTuple):
    """`outcomes[i]`: result of `records[i]`.

    `before`: by index, the replaced records, and the confirmed records that a refused close contradicts.
    """

    series: Series
    records: Records
    outcomes: list[Outcome]
    before: dict[int, Records]

    @property
    def changed_starts(self) -> list[int]:
        """The starts of the changed records."""
        starts: list[int] = self.records["start_s"].tolist()
        return [start_s for start_s, outcome in zip(starts, self.outcomes, strict=True) if outcome in CHANGES]


class View(NamedTuple):
    """Cached `records` of a range of a series, oldest first, forming ones included.

    `from_s`: the oldest bucket that was read, as far as the ring reaches back. `revision` is 0 and `origin` is
    `NO_ORIGIN` if there is no ring. `silent_s`: buckets without a candle, ascending, in which the stream was silent.
    """

    records: Records
    revision: int
    origin: Origin
    from_s: int
    silent_s: tuple[int, ...] = ()

    @property
    def over(self) -> Records:
        return over(self.records)

    def wanted_from_s(self, step: int) -> int:
        """Start of the oldest expected bucket: the first of the exchange, as far as the ring reaches back.

        The open bucket uses the slot of the oldest bucket of the ring.
        """
        edge_s = self.from_s + 2 * step
        return max(edge_s, self.origin.start_s) if self.origin.is_proven else edge_s

    @classmethod
    def from_slots(cls, slots: Records, revision: int, origin: Origin, step: int, first_s: int, last_s: int) -> Self:
        """View of `slots`, ordered by bucket up to `last_s`. Slots that hold another bucket are dropped."""
        newest = last_s // step * step
        oldest = newest - step * (len(slots) - 1)
        expected = _starts(oldest, step, len(slots))
        held = slots["start_s"] == expected
        first_s = max(first_s, step)  # a start of 0 marks a slot that was never written
        if oldest < first_s:
            held &= expected >= first_s
        found = np.count_nonzero(held)
        if found == len(slots):
            records = slots
        elif found == len(slots) - 1 and not held[-1]:
            records = slots[:-1]  # usually only the newest bucket has no record: avoid a copy
        else:
            records = slots[held]
        is_note = (records["flags"] & STATE_MASK) == 0
        if not is_note.any():
            return cls(records, revision, origin, oldest)
        notes = records[is_note & ((records["flags"] & SILENT) != 0)]
        return cls(records[~is_note], revision, origin, oldest, tuple(notes["start_s"].tolist()))


@lru_cache(maxsize=64)
def _starts(first_s: int, step: int, count: int) -> npt.NDArray[np.uint32]:
    """The starts of `count` buckets from `first_s` on. Cached, since many series are read for the same buckets."""
    return (first_s + step * np.arange(count, dtype=np.int64)).astype(np.uint32)


class Ring(NamedTuple):
    """A whole ring as it is stored: slot = (start // step) mod the number of slots."""

    slots: Records
    revision: int
    origin: Origin

    def view(self, step: int, last_s: int) -> View:
        """All records of the buckets up to `last_s`. An origin after it was stored while the clock was ahead."""
        oldest = (last_s // step + 1) % len(self.slots)
        in_order = joined((self.slots[oldest:], self.slots[:oldest]))
        origin = self.origin if self.origin.start_s <= last_s else NO_ORIGIN
        return View.from_slots(in_order, self.revision, origin, step, 0, last_s)


NOTHING = View(np.empty(0, RECORD), 0, NO_ORIGIN, 0)
