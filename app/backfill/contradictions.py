"""Finds where a REST response contradicts certain candles, and if it wins. Pure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from app.market.candles import CandleState
from app.market.carry_forward import carried_forward
from app.market.records import RECORD, SILENT, STATE_MASK, Records, has_trades, state_of

VOLUME_ROUNDING = 1e-9
"""Relative tolerance of two sums of the same volumes."""

AGREE_S = 900
"""Exchange seconds between two responses that overrule a certain candle."""


class Contradictions(NamedTuple):
    """Contradictions between a response and certain candles.

    `sure`: records that may be written; empty if the response is not trusted. `disputed`: claims of this and earlier
    responses about buckets that they may not change yet, as first observed. `overruling`: buckets that it may change,
    since another response agreed. `overruled`: candles that REST had confirmed there.
    """

    sure: Records
    disputed: Records
    overruling: list[int]
    overruled: Records
    is_trusted: bool


def compare(proven: Records, known: Records, before: Records, requested_ms: int) -> Contradictions:
    """Compare a response with `known`: two that agree, at least `AGREE_S` apart, overrule a certain candle.

    Certain: trades once seen, at least with that volume, and candles that REST confirmed.
    """
    _, new, old = np.intersect1d(proven["start_s"], known["start_s"], assume_unique=True, return_indices=True)
    said, held = proven[new], known[old]
    wrong = contradicts(said, held)
    said, held = said[wrong], held[wrong]
    earlier = {int(r["start_s"]): r for r in before if int(r["observed_ms"]) <= requested_ms}
    first = [earlier.get(start_s) for start_s in said["start_s"].tolist()]
    agreeing = [f if f is not None and _same(claim, f) else None for claim, f in zip(said, first, strict=True)]
    is_trusted = all(agreed is not None for agreed in agreeing)
    claims: list[np.void] = []
    overruling: list[int] = []
    overruled: list[np.void] = []
    for claim, certain, agreed in zip(said, held, agreeing, strict=True):
        is_old = agreed is not None and requested_ms - int(agreed["observed_ms"]) >= AGREE_S * 1000
        if not is_trusted or not is_old:
            claims.append(claim if agreed is None else agreed)
            continue
        overruling.append(int(claim["start_s"]))
        if int(certain["flags"]) & STATE_MASK == CandleState.CONFIRMED:
            overruled.append(certain)
    disputed = np.array(claims, dtype=RECORD)
    disputes = np.isin(proven["start_s"], disputed["start_s"])
    sure = proven[~carried_forward(proven, disputes)] if is_trusted else proven[:0]
    left = before[~np.isin(before["start_s"], proven["start_s"])]  # not in this response
    return Contradictions(
        sure, np.concatenate([left, disputed]), overruling, np.array(overruled, dtype=RECORD), is_trusted
    )


def contradicts(said: Records, held: Records) -> npt.NDArray[np.bool_]:
    """Which buckets of a response have less than is known, or differ from confirmed ones (arrays of equal length)."""
    differ = np.zeros(len(said), dtype=bool)
    for field in ("open", "high", "low", "close"):
        differ |= said[field] != held[field]
    off = said["volume"] - held["volume"]
    differ |= np.abs(off) > VOLUME_ROUNDING * np.maximum(said["volume"], held["volume"])
    more = has_trades(said) & (off > VOLUME_ROUNDING * held["volume"])
    is_closed, is_confirmed = state_of(held) >= CandleState.CLOSED, state_of(held) == CandleState.CONFIRMED
    traded = has_trades(held)
    less = traded & ~more & np.where(is_closed, differ, off < -VOLUME_ROUNDING * held["volume"])
    rests_on_silence = (held["flags"] & SILENT) != 0
    overrules = is_confirmed & differ & (traded | has_trades(said)) & ~rests_on_silence
    wrong: npt.NDArray[np.bool_] = less | overrules
    return wrong


def _same(a: np.void, b: np.void) -> bool:
    if any(a[field] != b[field] for field in ("open", "high", "low", "close")):
        return False
    return bool(abs(a["volume"] - b["volume"]) <= VOLUME_ROUNDING * max(a["volume"], b["volume"]))
