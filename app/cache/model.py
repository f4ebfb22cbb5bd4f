"""What the candle cache is asked and what it answers. Pure values."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from app.records import RECORD, Records, over
from app.series import Series


class Outcome(IntEnum):
    """What the compare-and-set did with a candle."""

    REFUSED = 0
    """The record that is there knows more, or the ring no longer reaches back that far."""
    UNCHANGED = 1
    """The same candle was there."""
    INSERTED = 2
    """The bucket had no closed candle before."""
    CORRECTED = 3
    """Another closed candle was there."""
    CONFIRMED = 4
    """The same candle was there, and now the exchange's REST has said so."""
    UPDATED = 5
    """The forming candle of an open bucket."""

    @property
    def is_news(self) -> bool:
        """Whether aggregates and indicators of this bucket have to be computed again."""
        return self in (Outcome.INSERTED, Outcome.CORRECTED)


class Write(NamedTuple):
    """Candles for one series. `origin_s` moves the series' origin, where given."""

    series: Series
    records: Records
    origin_s: int | None = None


class Written(NamedTuple):
    """`outcomes[i]` is what became of `records[i]`.

    `before` holds, by index, the records that were replaced, and confirmed ones that a refused close contradicts.
    """

    series: Series
    records: Records
    outcomes: list[Outcome]
    before: dict[int, Records]

    @property
    def news_s(self) -> list[int]:
        """The starts of the records that are new or different."""
        starts: list[int] = self.records["start_s"].tolist()
        return [start_s for start_s, outcome in zip(starts, self.outcomes, strict=True) if outcome.is_news]


class View(NamedTuple):
    """What the cache holds of a range of a series: existing `records`, oldest first, forming ones included.

    `from_s`: the oldest bucket that was looked at, as far as the ring reaches back. `revision` and `origin_s` are 0
    where there is no ring.
    """

    records: Records
    revision: int
    origin_s: int
    from_s: int

    @property
    def over(self) -> Records:
        return over(self.records)

    @classmethod
    def of(cls, slots: Records, revision: int, origin_s: int, step: int, first_s: int, last_s: int) -> Self:
        """Those of `slots`, in the order of their buckets up to `last_s`, that hold what they should."""
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
            records = slots[:-1]  # as a rule nothing is known yet of the newest bucket: no copy for that
        else:
            records = slots[held]
        return cls(records, revision, origin_s, oldest)


@lru_cache(maxsize=64)
def _starts(first_s: int, step: int, count: int) -> npt.NDArray[np.uint32]:
    """The starts of `count` buckets from `first_s` on. Many series are read at once, and for the same ones."""
    return (first_s + step * np.arange(count, dtype=np.int64)).astype(np.uint32)


class Ring(NamedTuple):
    """A whole ring as it is stored: slot = (start // step) mod the number of slots."""

    slots: Records
    revision: int
    origin_s: int

    def view(self, step: int, last_s: int) -> View:
        """All that it holds of the buckets up to `last_s`."""
        if not len(self.slots):
            return NOTHING
        oldest = (last_s // step + 1) % len(self.slots)
        in_order = np.concatenate((self.slots[oldest:], self.slots[:oldest]))
        return View.of(in_order, self.revision, self.origin_s, step, 0, last_s)


NOTHING = View(np.empty(0, RECORD), 0, 0, 0)
