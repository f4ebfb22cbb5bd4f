"""Stored alerts. The script that writes an indicator value also writes its alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import orjson
from redis import Redis

from app.storage import keys
from app.storage.entries import readable
from app.storage.model import Range
from app.util.batches import batched
from app.wire.alerts import AlertFact, DeliveryOutcome

ALERTS_PER_READ = 500
"""Alerts per round trip."""


class StoredAlert(NamedTuple):
    """`fact`: its content. `event`: the part that a correction can change. `withdrawn`: exchange time, or None.

    `said`: result of each message, by (channel, kind of message). `raised_ms`: Redis' clock.
    """

    id: str
    fact: AlertFact
    event: str
    withdrawn: int | None
    raised_ms: int
    said: dict[tuple[str, str], DeliveryOutcome]


class AlertCache:
    def __init__(self, client: Redis) -> None:
        self._client = client

    def of_series(self, many: Sequence[Range]) -> list[list[StoredAlert]]:
        """The alerts of each range of bars, oldest first."""
        with self._client.pipeline(transaction=False) as pipe:
            for series, first_s, last_s in many:
                pipe.zrange(keys.alerts_of(series), first_s, last_s, byscore=True)
            ids = [[raw.decode() for raw in row] for row in pipe.execute()]
        found = {alert.id: alert for alert in self.read([i for row in ids for i in row])}
        return [[found[i] for i in row if i in found] for row in ids]

    def newest(
        self, limit: int, wanted: Callable[[str], bool], *, since_s: int = 0, before: tuple[int, str] | None = None
    ) -> tuple[list[StoredAlert], bool]:
        """The newest `limit` alerts whose id is `wanted`, newest first, and whether there are more.

        Their bars end at `since_s` or later. `before`: only alerts older than this (end of bar, id).
        """
        rows = self._client.zrange(keys.ALERTS, since_s, before[0] if before else "+inf", byscore=True, withscores=True)
        order = sorted(((int(score), raw.decode()) for raw, score in cast("list[Any]", rows)), reverse=True)
        chosen = [i for end_s, i in order if (before is None or (end_s, i) < before) and wanted(i)]
        return self.read(chosen[:limit]), len(chosen) > limit

    def read(self, identities: Iterable[str]) -> list[StoredAlert]:
        """The alerts that are still stored, in the requested order."""
        alerts: list[StoredAlert] = []
        for some in batched(identities, ALERTS_PER_READ):
            with self._client.pipeline(transaction=False) as pipe:
                for identity in some:
                    pipe.hgetall(keys.alert(identity))
                rows = pipe.execute()
            kept = [(identity, row) for identity, row in zip(some, rows, strict=True) if b"data" in row]
            alerts += readable("stored alerts", kept, lambda entry: alert_of_row(*entry))
        return alerts


def alert_of_row(identity: str, row: dict[bytes, bytes]) -> StoredAlert:
    """The alert in a hash."""
    said = {}
    for name, raw in row.items():
        what, _, rest = name.decode().partition(":")
        if what == "sent":
            channel, _, kind = rest.partition(":")
            said[channel, kind] = orjson.loads(raw)
    withdrawn = row.get(b"withdrawn")
    return StoredAlert(
        identity,
        orjson.loads(row[b"data"]),
        row[b"event"].decode(),
        int(withdrawn) if withdrawn else None,
        int(row[b"raised_ms"]),
        said,
    )
