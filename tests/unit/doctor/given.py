"""Evidence for tests: frames and responses with few words."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from app.doctor.coinbase.evidence import Frame, Page, Response
from app.market.timeframes import BASE, Timeframe

START = 1_614_816_000
STEP = BASE.seconds
BTC = "BTC-USD"


def row(start_s: int, volume: str = "1", close: str = "10", **more: str) -> dict[str, str]:
    return {"start": str(start_s), "open": "10", "high": "12", "low": "9", "close": close, "volume": volume, **more}


def frame(
    at_s: float, channel: str = "candles", *events: Any, seq: int = 0, local_s: float | None = None, wall_s: float = 0,
    connection: str = "coinbase-1",
) -> Frame:  # fmt: skip
    """A message sent at `at_s` by the exchange's clock; it came at `local_s`, by default the same."""
    time = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    data = {"channel": channel, "timestamp": time, "sequence_num": seq, "events": [*events]}
    local_ms = round((at_s if local_s is None else local_s) * 1000)
    return Frame.read(connection, json.dumps(data).encode(), local_ms, round(wall_s * 1000))


def candles(at_s: float, *rows: dict[str, str], kind: str = "update", product: str = BTC, **more: Any) -> Frame:
    named = [{"product_id": product, **one} for one in rows]
    return frame(at_s, "candles", {"type": kind, "candles": named}, **more)


def response(
    *rows: dict[str, str], first_s: int, last_s: int, at_s: float, product: str = BTC, timeframe: Timeframe = BASE,
    status: int = 200, problem: str = "", took_s: float = 0.1,
) -> Response:  # fmt: skip
    """REST's response about a range of buckets, requested at `at_s` of the exchange's clock."""
    body = {"candles": [*rows]}
    return answer("/candles", body, at_s, status=status, problem=problem, took_s=took_s).judged(
        Page(product, timeframe, first_s, last_s)
    )


def answer(
    path: str, body: object, at_s: float, *, status: int = 200, problem: str = "", took_s: float = 0.1,
    received_local_s: float | None = None,
) -> Response:  # fmt: skip
    return Response(
        path=path,
        params={},
        sent_local_ms=round(at_s * 1000),
        received_local_ms=round((at_s + took_s if received_local_s is None else received_local_s) * 1000),
        wall_ms=0,
        sent_exchange_ms=round(at_s * 1000),
        received_exchange_ms=round((at_s + took_s) * 1000),
        status=status,
        text=json.dumps(body),
        problem=problem,
    )
