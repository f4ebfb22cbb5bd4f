"""Record of corrected candles: bucket, values before and after, cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import orjson
from redis import Redis

from app.market.candles import CandleState
from app.market.records import EMPTY, STATE_MASK
from app.storage import keys
from app.storage.entries import readable
from app.storage.model import Outcome, Written

KEPT = 5_000
FIELDS = ("open", "high", "low", "close", "volume")
ROW = ("product", "timeframe", "start", "exchange_ms", "fields", "before", "after")


def record(client: Redis, written: Iterable[Written], *, cause: str, exchange_ms: int) -> int:
    """Store and count the corrections among `written`. Returns their number."""
    rows = [_row(w, i, exchange_ms) for w in written for i, o in enumerate(w.outcomes) if o is Outcome.CORRECTED]
    if not rows:
        return 0
    with client.pipeline(transaction=False) as pipe:
        for row in rows:
            pipe.xadd(keys.MISMATCHES, {"cause": cause, "data": orjson.dumps(row)}, maxlen=KEPT, approximate=True)
        for timeframe, count in Counter(row["timeframe"] for row in rows).items():
            pipe.hincrby(keys.COUNTERS, f"corrections:{cause}:{timeframe}", count)
        pipe.execute()
    return len(rows)


def latest(client: Redis, count: int = 100) -> list[dict[str, Any]]:
    """The newest corrections, newest first, each with its `cause`."""
    rows = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrevrange(keys.MISMATCHES, count=count))
    return readable("corrections", rows, _correction)


def _correction(entry: tuple[bytes, dict[bytes, bytes]]) -> dict[str, Any]:
    row = orjson.loads(entry[1][b"data"])
    if missing := [name for name in ROW if name not in row]:
        raise ValueError(f"{', '.join(missing)} is missing")
    return {"cause": entry[1][b"cause"].decode(), **row}


def _row(written: Written, i: int, exchange_ms: int) -> dict[str, Any]:
    now, before = written.records[i], written.before[i][0]
    return {
        "product": written.series.product,
        "timeframe": written.series.timeframe,
        "start": int(now["start_s"]),
        "exchange_ms": exchange_ms,
        "fields": [f for f in FIELDS if now[f] != before[f]],
        "before": _values(before),
        "after": _values(now),
    }


def _values(record: np.void) -> dict[str, Any]:
    flags = int(record["flags"])
    values = {f: float(record[f]) for f in FIELDS}
    return {**values, "trades": not flags & EMPTY, "state": CandleState(flags & STATE_MASK).label}
