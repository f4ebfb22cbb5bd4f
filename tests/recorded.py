"""The data in tests/data. Its README names the origin of each file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from app.market.candles import CandleState
from app.market.records import EMPTY, RECORD, Records
from tests.support import ROOT

DATA = ROOT / "tests" / "data"
CANDLES = DATA / "candles"
FRAMES = DATA / "frames"


def recorded(name: str) -> Any:
    """The content of one file of reference values."""
    return json.loads((DATA / "macdv" / f"{name}.json").read_text())


def records_of(bars: list[dict[str, Any]]) -> Records:
    """Bars of reference values as confirmed candles."""
    rows = [
        (
            bar["t"] // 1000,
            CandleState.CONFIRMED | (EMPTY if bar.get("synthetic") else 0),
            1,
            *(bar[name] for name in "ohlcv"),
        )
        for bar in bars
    ]
    return np.array(rows, dtype=RECORD)
