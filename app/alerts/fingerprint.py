"""What a series' alerts rest on, as fingerprints: what has to be looked at again, and from which bar on. Pure.

A look covers the bars that are new. Bars that it has left behind are looked at again only if a candle that they rest on
has changed: one was corrected, a missing one came, a provisional one was resolved, or a short history grew backwards.
A fingerprint covers a fixed range of buckets, so it does not change when the market goes on.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from app.indicators.window import WINDOW
from app.market.carry_forward import gaps_in
from app.market.records import CORRECTED, EMPTY, PROVISIONAL, Records
from app.market.timeframes import Timeframe
from app.storage.alert_changes import Fingerprint

RECENT_BARS = 8
"""The newest bars have a fingerprint of their own: most changes are theirs, and then the older ones need no look."""

LATE_BARS = 400
"""Bars that are looked at again, or for the first time but late: with their windows they fit into a ring. So long are
missing and provisional candles waited for, too."""


class SeriesHistory:
    """What is missing, corrected or provisional among `records`: closed ones, oldest first, at least one.

    `begin_s`: the bucket before which the exchange has none of the series; 0 if that is not proven.
    """

    def __init__(self, records: Records, timeframe: Timeframe, begin_s: int = 0) -> None:
        self._step, self._begin_s = timeframe.seconds, begin_s
        self._first_s, self._last_s = int(records["start_s"][0]), int(records["start_s"][-1])
        self._gaps = _gaps(records, timeframe)
        self._marked = _marked(records)
        provisional = self._marked["start_s"][(self._marked["flags"] & PROVISIONAL) != 0]
        self._provisional = frozenset(provisional.tolist())

    def fingerprint(self, from_s: int, last_s: int) -> Fingerprint:
        """What the bars from `from_s` to `last_s` rest on."""
        begins_s, recent_s = from_s - (WINDOW - 1) * self._step, last_s - (RECENT_BARS - 1) * self._step
        first_s = max(self._first_s, begins_s)
        if not len(self._marked) and not len(self._gaps):
            return Fingerprint(first_s)
        return Fingerprint(
            first_s, self._fingerprint(begins_s, recent_s - self._step), self._fingerprint(recent_s, last_s)
        )

    def changed_from(self, before: Fingerprint, from_s: int, last_s: int) -> int | None:
        """The first bar from `from_s` to `last_s` that may be other than it was `before`; None if none is.

        A candle that the ring has dropped since is no change.
        """
        now = self.fingerprint(from_s, last_s)
        if now.first_s < before.first_s or now.old != before.old:
            return from_s
        return None if now.recent == before.recent else max(from_s, last_s - (RECENT_BARS - 1) * self._step)

    def hold_back(self, start_s: int) -> bool:
        """Whether a bar is not to be judged yet: its candle, or the one that it is compared with, is provisional."""
        return start_s in self._provisional or start_s - self._step in self._provisional

    def waits_from(self, lowest_s: int) -> int:
        """The first bar from `lowest_s` on that something is waited for; the newest one if nothing is.

        Every bar behind a missing candle waits for it; its own bar and the next one wait for a provisional candle.
        So does a bar from `lowest_s` on whose window is not full, unless the series begins there: history comes after
        the first live candles.
        """
        late_s = self._last_s - LATE_BARS * self._step
        found = [self._last_s]
        if self._first_s > max(self._begin_s, lowest_s - (WINDOW - 1) * self._step):
            found.append(lowest_s)
        found += [before_s + self._step for before_s, behind_s in self._gaps.tolist() if behind_s > late_s]
        found += [start_s for start_s in self._provisional if start_s >= lowest_s - self._step]
        return min(max(lowest_s, min(found)), self._last_s)

    def _fingerprint(self, first_s: int, last_s: int) -> int:
        """Of what lies in the buckets from `first_s` to `last_s`; a gap that reaches into them counts."""
        starts = self._marked["start_s"]
        inside = self._marked[(starts >= first_s) & (starts <= last_s)]
        reaching = self._gaps[(self._gaps[:, 1] > first_s) & (self._gaps[:, 0] < last_s)]
        return zlib.crc32(reaching.tobytes(), zlib.crc32(inside.tobytes())) if len(inside) or len(reaching) else 0


def _gaps(records: Records, timeframe: Timeframe) -> npt.NDArray[np.int64]:
    """The bars before and behind each gap, one row for a gap."""
    if not gaps_in(records, timeframe):
        return _NO_GAP
    starts = records["start_s"].astype(np.int64)
    behind = np.flatnonzero(np.diff(starts) != timeframe.seconds) + 1
    return np.stack((starts[behind - 1], starts[behind]), axis=1)


def _marked(records: Records) -> Records:
    """Those that are corrected or provisional, without what neither a value nor an event depends on."""
    flags = records["flags"]
    if not np.bitwise_or.reduce(flags) & (CORRECTED | PROVISIONAL):
        return records[:0]
    marked: Records = records[(flags & (CORRECTED | PROVISIONAL)) != 0]  # a copy
    marked["flags"] &= CORRECTED | PROVISIONAL | EMPTY
    for field in ("observed_ms", "open", "volume"):
        marked[field] = 0
    return marked


_NO_GAP = np.empty((0, 2), dtype=np.int64)
