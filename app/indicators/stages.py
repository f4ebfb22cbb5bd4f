"""The stage of a bar: the zone of MACD-V, and the side of its signal (after StockCharts).

    MACD-V               above or at its signal   below its signal
    under −150           oversold                 oversold
    −150 to under −50    rebounding               reversing
    −50 to 50            rebounding               retracing         both ranging from the 20th bar in a row in this zone
    over 50 to 150       rallying                 retracing
    over 150             overbought               retracing

A value on a boundary belongs to the zone nearer to zero: 150 is not yet overbought, just as no alert is due before
the level is passed, and 50 is calm. A value equal to its signal is not below it. Each bar with a signal has exactly one
stage; a bar without one has none.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

EXTREME, CALM = 150.0, 50.0
"""Limits of the zones, in points of MACD-V, on both sides of zero."""

RANGING_BARS = 20
"""Consecutive bars in the middle zone, this one included, that make it a range."""

Codes: TypeAlias = npt.NDArray[np.int8]
"""Stages as indices into `STAGES`."""


class Stage(StrEnum):
    OVERSOLD = "oversold"
    REBOUNDING = "rebounding"
    REVERSING = "reversing"
    RETRACING = "retracing"
    RALLYING = "rallying"
    OVERBOUGHT = "overbought"
    RANGING = "ranging"


STAGES: tuple[Stage | None, ...] = (None, *Stage)
"""The stage of each code; code 0: no stage."""

_CODE: dict[Stage | None, int] = {stage: code for code, stage in enumerate(STAGES)}

_BELOW_SIGNAL = (Stage.OVERSOLD, Stage.REVERSING, Stage.RETRACING, Stage.RETRACING, Stage.RETRACING)
_NOT_BELOW = (Stage.OVERSOLD, Stage.REBOUNDING, Stage.REBOUNDING, Stage.RALLYING, Stage.OVERBOUGHT)
_TABLE = np.array([_CODE[stage] for stage in (*_BELOW_SIGNAL, *_NOT_BELOW)], dtype=np.int8)
"""Codes by zone, lowest first: below the signal, then the rest."""


def stage_codes(macdv: npt.NDArray[np.float64], signal: npt.NDArray[np.float64]) -> Codes:
    """The stage of every bar. `macdv` and `signal`: equal shapes, bars along the last axis, NaN if there is none."""
    zone = (macdv >= -EXTREME).astype(np.int8)
    zone += macdv >= -CALM
    zone += macdv > CALM
    zone += macdv > EXTREME
    zone += (macdv >= signal) * np.int8(len(_BELOW_SIGNAL))
    codes = _TABLE.take(zone)
    ranging = _calm_for(np.abs(macdv) <= CALM, RANGING_BARS)
    codes[..., RANGING_BARS - 1 :][ranging] = _CODE[Stage.RANGING]
    codes *= np.isfinite(macdv) & np.isfinite(signal)
    return codes


def _calm_for(calm: npt.NDArray[np.bool_], bars: int) -> npt.NDArray[np.bool_]:
    """Whether each bar, from the `bars`-th on, and the `bars` − 1 before it are all calm."""
    width = 1
    while width < bars:  # two overlapping windows make a wider one
        step = min(width, bars - width)
        calm = calm[..., step:] & calm[..., :-step]
        width += step
    return calm
