"""Checks that no candle is ever stored as certain unless it is the truth. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from app.market.candles import CandleState
from app.market.records import EMPTY, PROVISIONAL, SILENT, STATE_MASK

if TYPE_CHECKING:
    from app.market.records import Records
    from tests.simulation.market import TradeLog


def certain(records: Records, *, without_stream: bool) -> Records:
    """Those of `records` that are certain: closed or confirmed, and not provisional.

    `without_stream`: without candles that rest on the stream or its silence.
    """
    flags = records["flags"]
    sure = ((flags & STATE_MASK) >= CandleState.CLOSED) & ((flags & PROVISIONAL) == 0)
    if without_stream:
        sure &= ((flags & STATE_MASK) == CandleState.CONFIRMED) & ((flags & SILENT) == 0)
    found: Records = records[sure]
    return found


def untrue(trade_log: TradeLog, step_s: int, sure: Records) -> Iterator[tuple[int, str]]:
    """Candles of `sure` that differ from `trade_log`: the start and the error of each."""
    truth, places = trade_log.columns(step_s), (sure["start_s"].astype(np.int64) - trade_log.first_s) // step_s
    known = (places >= 0) & (places < len(truth.traded))
    sure, places = sure[known], places[known]
    empty, traded = (sure["flags"] & EMPTY) != 0, truth.traded[places]
    same = np.ones(len(sure), dtype=bool)
    for name in ("open", "high", "low", "close", "volume"):
        same &= sure[name] == getattr(truth, name)[places]
    for i in np.flatnonzero(np.where(empty, traded, ~traded | ~same)).tolist():
        state = "confirmed" if sure["flags"][i] & STATE_MASK == CandleState.CONFIRMED else "closed"
        yield int(sure["start_s"][i]), f"{state} as {'empty' if empty[i] else sure[i].tolist()[3:]}"
