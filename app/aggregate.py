"""Longer candles from shorter ones: complete groups only. Pure."""

from __future__ import annotations

from math import fsum

import numpy as np
import numpy.typing as npt

from app.candles import State
from app.records import EMPTY, RECORD, Records, has_trades, over, state_of
from app.timeframes import Timeframe


def parents_of(starts: npt.NDArray[np.integer], target: Timeframe) -> npt.NDArray[np.int64]:
    """Starts of the buckets of `target` that hold the buckets `starts`, ascending, each once."""
    return np.unique(np.asarray(starts, dtype=np.int64) // target.seconds * target.seconds)


def aggregate(
    records: Records, source: Timeframe, target: Timeframe, parents: npt.NDArray[np.int64] | None = None
) -> Records:
    """The candles of `target` whose buckets are complete in `records` (of `source`, oldest first).

    `parents`: the buckets to build, all of them if not given. Prices come from the children with trades, as the exchange
    reports them; the volume is summed exactly, then rounded once. A parent of empty children only is empty. Its state is
    the lowest of its children's, its observation the latest, so that it does not depend on the order of arrival.
    """
    closed = over(records)
    starts = closed["start_s"].astype(np.int64)
    wanted = parents_of(starts, target) if parents is None else np.asarray(parents, dtype=np.int64)
    first = np.searchsorted(starts, wanted)
    last = np.searchsorted(starts, wanted + target.seconds)
    whole = last - first == target.seconds // source.seconds
    groups = zip(wanted[whole], first[whole], last[whole], strict=True)
    return np.array([_one(int(start), closed[i:j]) for start, i, j in groups], dtype=RECORD)


def _one(start_s: int, children: Records) -> tuple[int | float, ...]:
    state = State(int(state_of(children).min()))
    observed_ms = int(children["observed_ms"].max())
    traded = children[has_trades(children)]
    if not len(traded):
        close = float(children["close"][-1])
        return start_s, state | EMPTY, observed_ms, close, close, close, close, 0.0
    return (
        start_s,
        state,
        observed_ms,
        float(traded["open"][0]),
        float(traded["high"].max()),
        float(traded["low"].min()),
        float(traded["close"][-1]),
        fsum(traded["volume"].tolist()),
    )
