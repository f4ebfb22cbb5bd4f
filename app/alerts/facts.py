"""An alert as a stored fact: all its data, as of the moment at which its bar closed. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from app.alerts.bias import bias_of
from app.alerts.engine import Finding
from app.indicators.macdv import MacdvPoint
from app.indicators.window import WINDOW
from app.market.candles import CandleState
from app.market.records import STATE_MASK
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.alert_changes import Alert
from app.wire.alerts import AlertFact, AlertPoint


def identity(rule: str, series: Series, start_s: int) -> str:
    """Alert id: one per rule and bar, however often it is found."""
    return f"{rule}|{series.product}|{series.timeframe}|{start_s}"


def alert_of(
    finding: Finding,
    series: Series,
    candle: np.void,
    point: MacdvPoint | None,
    candles: int,
    others: Mapping[Timeframe, MacdvPoint | None],
    channels: tuple[str, ...],
) -> Alert:
    """The alert for `finding`.

    `candle`: the record of its bar. `point`: the bar's values, computed from `candles` bars; None if they are not
    ready. `others`: the newest values of the product's other timeframes as of the end of the bar. `channels`: all
    channels.
    """
    settings, event, _, start_s = finding
    identified = identity(settings.name, series, start_s)
    points = dict(sorted({**others, series.timeframe: point}.items(), key=lambda item: item[0].seconds))
    fact: AlertFact = {
        "id": identified,
        "rule": settings.name,
        "kind": settings.kind,  # type: ignore[attr-defined]
        "exchange": series.exchange,
        "product": series.product,
        "timeframe": str(series.timeframe),
        "start": start_s,
        "end": start_s + series.timeframe.seconds,
        "event": event.detail,
        "price": float(candle["close"]),
        "macdv": point.macdv if point else None,
        "signal": point.signal if point else None,
        "histogram": point.histogram if point else None,
        "stage": point.stage if point else None,
        "timeframes": {str(t): _brief(p) for t, p in points.items()},
        "bias": bias_of({t: p.stage if p else None for t, p in points.items()}),
        "confirmed": int(candle["flags"]) & STATE_MASK >= CandleState.CONFIRMED,
        "candles": candles,
        "definition": settings.definition,
    }
    return Alert(identified, start_s, event.name, settings.channels or channels, fact)


def as_of(timeframe: Timeframe, end_s: int) -> tuple[int, int]:
    """The buckets (first, last) whose candles give the value of `timeframe` at `end_s` (exchange time)."""
    last = timeframe.last_over(end_s)
    return last - (WINDOW - 1) * timeframe.seconds, last


def _brief(point: MacdvPoint | None) -> AlertPoint | None:
    return None if point is None or point.macdv is None else {"macdv": point.macdv, "stage": point.stage}
