"""Record of corrected candles: bucket, values before and after, cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import cast

import orjson
from redis import Redis

from app.storage import keys
from app.storage.entries import readable
from app.storage.model import Outcome, Written
from app.wire.candles import NUMBERS, CorrectedCandle, Correction, values_of

KEPT = 5_000


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


def latest(client: Redis, count: int = 100) -> list[Correction]:
    """The newest corrections, newest first."""
    rows = cast("list[tuple[bytes, dict[bytes, bytes]]]", client.xrevrange(keys.MISMATCHES, count=count))
    return readable("corrections", rows, _correction)


def _correction(entry: tuple[bytes, dict[bytes, bytes]]) -> Correction:
    row: CorrectedCandle = orjson.loads(entry[1][b"data"])
    if missing := [name for name in CorrectedCandle.__annotations__ if name not in row]:
        raise ValueError(f"{', '.join(missing)} is missing")
    return {"cause": entry[1][b"cause"].decode(), **row}


def _row(written: Written, i: int, exchange_ms: int) -> CorrectedCandle:
    now, before = written.records[i], written.before[i][0]
    return {
        "product": written.series.product,
        "timeframe": written.series.timeframe,
        "start": int(now["start_s"]),
        "exchange_ms": exchange_ms,
        "fields": [name for name in NUMBERS if now[name] != before[name]],
        "before": values_of(before.tolist()),
        "after": values_of(now.tolist()),
    }
