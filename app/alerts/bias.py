"""The combined bias of a product's timeframes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from app.indicators.stages import Stage
from app.market.timeframes import Timeframe
from app.wire.alerts import Bias

WEIGHTS = {
    Timeframe.M1: 1,
    Timeframe.M5: 2,
    Timeframe.M15: 3,
    Timeframe.M30: 3,
    Timeframe.H1: 4,
    Timeframe.H2: 4,
    Timeframe.H4: 5,
    Timeframe.H6: 5,
    Timeframe.D1: 6,
}
"""The longer a timeframe, the more its stage counts."""

BULLISH = frozenset((Stage.OVERSOLD, Stage.REBOUNDING, Stage.RALLYING))
BEARISH = frozenset((Stage.OVERBOUGHT, Stage.RETRACING, Stage.REVERSING))
CLEARLY = 1.5


def bias_of(stages: Mapping[Timeframe, Stage | None]) -> Bias:
    """`Bullish` or `Bearish` if one side clearly outweighs the other, else `Neutral`."""
    bull = sum(WEIGHTS[timeframe] for timeframe, stage in stages.items() if stage in BULLISH)
    bear = sum(WEIGHTS[timeframe] for timeframe, stage in stages.items() if stage in BEARISH)
    if bull > CLEARLY * bear:
        return "Bullish"
    return "Bearish" if bear > CLEARLY * bull else "Neutral"
