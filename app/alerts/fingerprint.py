"""Fingerprints of the candles behind a series' alerts: they show which bars to evaluate again. Pure.

An evaluation covers the new bars. Older bars are evaluated again only if a candle that they depend on has changed: one
was corrected, a missing one arrived, a provisional one was resolved, or a short history grew backwards. A fingerprint
covers a fixed range of buckets, so it does not change when new candles arrive.
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
"""The newest bars have a separate fingerprint: most changes are in them, and the older ones then need no evaluation."""

LATE_BARS = 400
"""Bars that are evaluated again, or for the first time but late: with their windows they fit into a ring. Bars wait
this long for missing and provisional candles, too."""


class SeriesHistory:
    """Missing, corrected and provisional candles among `records`: closed ones, oldest first, at least one.

    `begin_s`: the origin of the series; 0 if it is not proven.
    """

    def __init__(self, records: Records, timeframe: Timeframe, begin_s: int = 0) -> None:
        self._step, self._begin_s = timeframe.seconds, begin_s
        self._first_s, self._last_s = int(records["start_s"][0]), int(records["start_s"][-1])
        self._gaps = _gaps(records, timeframe)
        self._marked = _marked(records)
        provisional = self._marked["start_s"][(self._marked["flags"] & PROVISIONAL) != 0]
        self._provisional = frozenset(provisional.tolist())

    def fingerprint(self, from_s: int, last_s: int) -> Fingerprint:
        """Fingerprint of the input of the bars from `from_s` to `last_s`."""
        begins_s, recent_s = from_s - (WINDOW - 1) * self._step, last_s - (RECENT_BARS - 1) * self._step
        first_s = max(self._first_s, begins_s)
        if not len(self._marked) and not len(self._gaps):
            return Fingerprint(first_s)
        return Fingerprint(
            first_s, self._fingerprint(begins_s, recent_s - self._step), self._fingerprint(recent_s, last_s)
        )

    def changed_from(self, before: Fingerprint, from_s: int, last_s: int) -> int | None:
        """The first bar from `from_s` to `last_s` that may differ from `before`, or None.

        A candle that the ring has dropped since is not a change.
        """
        now = self.fingerprint(from_s, last_s)
        if now.first_s < before.first_s or now.old != before.old:
            return from_s
        return None if now.recent == before.recent else max(from_s, last_s - (RECENT_BARS - 1) * self._step)

    def hold_back(self, start_s: int) -> bool:
        """Whether a bar must not be evaluated yet: its candle, or the one it is compared with, is provisional."""
        return start_s in self._provisional or start_s - self._step in self._provisional

    def waits_from(self, lowest_s: int) -> int:
        """The first bar from `lowest_s` on that waits for a candle; the newest one if none waits.

        Every bar after a missing candle waits for it. The bar of a provisional candle and the next one wait for it.
        A bar from `lowest_s` on waits if its window is not full, unless the series begins there: history arrives after
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
        """Fingerprint of the buckets from `first_s` to `last_s`; a gap that reaches into them counts."""
        starts = self._marked["start_s"]
        inside = self._marked[(starts >= first_s) & (starts <= last_s)]
        reaching = self._gaps[(self._gaps[:, 1] > first_s) & (self._gaps[:, 0] < last_s)]
        return zlib.crc32(reaching.tobytes(), zlib.crc32(inside.tobytes())) if len(inside) or len(reaching) else 0


def _gaps(records: Records, timeframe: Timeframe) -> npt.NDArray[np.int64]:
    """The bars before and after each gap, one row per gap."""
    if not gaps_in(records, timeframe):
        return _NO_GAP
    starts = records["start_s"].astype(np.int64)
    behind = np.flatnonzero(np.diff(starts) != timeframe.seconds) + 1
    return np.stack((starts[behind - 1], starts[behind]), axis=1)


def _marked(records: Records) -> Records:
    """Corrected and provisional records, without fields that values and events do not depend on."""
    flags = records["flags"]
    if not np.bitwise_or.reduce(flags) & (CORRECTED | PROVISIONAL):
        return records[:0]
    marked: Records = records[(flags & (CORRECTED | PROVISIONAL)) != 0]  # a copy
    marked["flags"] &= CORRECTED | PROVISIONAL | EMPTY
    for field in ("observed_ms", "open", "volume"):
        marked[field] = 0
    return marked


_NO_GAP = np.empty((0, 2), dtype=np.int64)
