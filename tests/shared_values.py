"""Reference values in a folder beside the repository; tests that need them are skipped if they are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.market.candles import CandleState
from app.market.records import EMPTY, RECORD, Records

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "macdv"


def shared(name: str) -> Any:
    """The content of one file of reference values."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not here")
    return json.loads(path.read_text())


def records_of(bars: list[dict[str, Any]]) -> Records:
    """Bars of a reference file as confirmed candles."""
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
