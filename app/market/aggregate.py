"""Aggregate shorter candles into longer ones: complete groups only. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import fsum
from typing import Any

import numpy as np
import numpy.typing as npt

from app.errors import InvalidInput
from app.market.candles import CandleState
from app.market.records import EMPTY, PROVISIONAL, RECORD, Records, has_trades, joined, state_of
from app.market.timeframes import Timeframe


def parents_of(first_s: int, last_s: int, target: Timeframe) -> npt.NDArray[np.int64]:
    """Starts of the `target` buckets, ascending, that contain the shorter buckets `first_s` to `last_s` (starts)."""
    return np.arange(target.bucket(first_s), last_s + 1, target.seconds)


def aggregate(records: Records, source: Timeframe, target: Timeframe, parents: npt.NDArray[np.int64]) -> Records:
    """The candles of `target`, oldest first, whose buckets are complete in `records` (of `source`, in any order).

    Complete: each child occurs once, closed or confirmed. `parents`: starts of the buckets to build.
    Prices come from the children with trades, as on the exchange. The volume is summed exactly and rounded once. If all
    children are empty, the parent is empty and carries their close. The state is the lowest of the children,
    `observed_ms` the latest. If a child is provisional, the parent is provisional and at most closed. The order in
    which the children arrived does not matter.

    Raises `InvalidInput` if the length of `target` is not a multiple of `source`.
    """
    return aggregate_many([records], source, target, [parents])[0]


def aggregate_many(
    batch: Sequence[Records], source: Timeframe, target: Timeframe, parents: Sequence[npt.NDArray[np.int64]]
) -> list[Records]:
    """`aggregate` for each of `batch` with its `parents`. Many products at once cost little more than one."""
    if not target.contains(source):
        raise InvalidInput(
            f"{target} candles cannot be built from {source} candles: use a longer timeframe that is a multiple"
        )
    if not batch:
        return []
    wanted = _keys(_owners(parents), np.concatenate(parents))
    owner, records = _owners(batch), joined(batch)
    is_over = state_of(records) >= int(CandleState.CLOSED)
    if not is_over.all():
        owner, records = owner[is_over], records[is_over]
    children, owner = _complete_groups(owner, records, source, target, wanted)
    built = _built(children)
    return [built[first:last] for first, last in pairwise(np.searchsorted(owner, np.arange(len(batch) + 1)))]


def _built(children: Records) -> Records:
    """Build the candle of each group (groups × children, oldest first)."""
    traded = has_trades(children)
    empty = ~traded.any(axis=1)
    group, last_child = np.arange(len(children)), children.shape[1] - 1
    first, last = traded.argmax(axis=1), last_child - traded[:, ::-1].argmax(axis=1)

    built = np.zeros(len(children), RECORD)
    built["start_s"] = children["start_s"][:, 0]
    provisional = np.bitwise_or.reduce(children["flags"], axis=1) & PROVISIONAL
    state = np.where(provisional, int(CandleState.CLOSED), state_of(children).min(axis=1))
    built["flags"] = state | np.where(empty, EMPTY, 0) | provisional
    built["observed_ms"] = children["observed_ms"].max(axis=1)
    built["open"] = children["open"][group, first]
    built["high"] = np.where(traded, children["high"], -np.inf).max(axis=1)
    built["low"] = np.where(traded, children["low"], np.inf).min(axis=1)
    built["close"] = children["close"][group, last]
    built["volume"] = [fsum(volumes) for volumes in np.where(traded, children["volume"], 0).tolist()]
    for price in ("open", "high", "low"):
        built[price][empty] = built["close"][empty]
    return built


def _complete_groups(
    owner: npt.NDArray[np.int64],
    closed: Records,
    source: Timeframe,
    target: Timeframe,
    wanted: npt.NDArray[np.int64],
) -> tuple[Records, npt.NDArray[np.int64]]:
    """Children of each complete parent (parents × children, oldest first within an owner), and their owners."""
    starts, size = closed["start_s"].astype(np.int64), target.seconds // source.seconds
    keys = _keys(owner, starts)
    order = None if (keys[1:] > keys[:-1]).all() else np.argsort(keys, kind="stable")
    if order is not None:
        keys = keys[order]
    parents = np.unique(wanted)
    first, behind = np.searchsorted(keys, (parents, parents + target.seconds))
    full = behind - first == size
    parents, index = parents[full], first[full, None] + np.arange(size)
    complete = (keys[index] == parents[:, None] + np.arange(size) * source.seconds).all(axis=1)
    parents, index = parents[complete], index[complete]
    # As bytes: NumPy copies records field by field.
    rows = closed.view(_BYTES)[index if order is None else order[index]]
    children: Records = rows.view(RECORD)
    return children, parents // _OWNER


_BYTES = np.dtype((np.void, RECORD.itemsize))

_OWNER = 2**32
"""Distance between the keys of two owners: more than any start."""


def _owners(batch: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """For each element of the concatenated `batch`, the index of its array."""
    return np.repeat(np.arange(len(batch)), [len(one) for one in batch])


def _keys(owner: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Combine owner and start into one number."""
    return owner * _OWNER + starts
