"""Stored alerts as the API and the command line show them, and the state of the channels."""

from __future__ import annotations

import base64
import binascii
import re

from app.alerts.settings import AlertSettings
from app.delivery.texts import title_of
from app.errors import InvalidInput
from app.market.timeframes import Timeframe
from app.storage.alerts import AlertCache, StoredAlert
from app.storage.deliveries import Deliveries
from app.wire.alerts import AlertRow, AlertsAnswer, ChannelRow, DeliveryOutcome

MAX_ALERTS = 500
_CURSOR = re.compile(r"(\d{1,12}) ([^ ]{1,120})")


def page_of_alerts(
    stored: AlertCache,
    *,
    product: str | None = None,
    timeframe: Timeframe | None = None,
    rule: str | None = None,
    since_s: int | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> AlertsAnswer:
    """A page of alerts of bars that ended at `since_s` or later.

    A page continues where the last one ended, whatever was added since. Raises `InvalidInput`.
    """
    if not 1 <= limit <= MAX_ALERTS:
        raise InvalidInput(f"limit is {limit}; it must be 1 to {MAX_ALERTS}")
    wanted = (rule, product.upper() if product else None, timeframe)

    def is_wanted(identity: str) -> bool:
        return all(want is None or want == part for want, part in zip(wanted, identity.split("|"), strict=False))

    before = _parse_cursor(cursor) if cursor else None
    alerts, more = stored.newest(limit, is_wanted, since_s=since_s or 0, before=before)
    last = alerts[-1] if more and alerts else None
    return {"alerts": [row_of(a) for a in alerts], "next": _cursor(last.fact["end"], last.id) if last else None}


def row_of(alert: StoredAlert) -> AlertRow:
    deliveries: dict[str, dict[str, DeliveryOutcome]] = {}
    for (channel, kind), outcome in sorted(alert.said.items()):
        deliveries.setdefault(channel, {})[kind] = outcome
    return {
        **alert.fact,
        "title": title_of(alert.fact),
        "state": "stands" if alert.withdrawn is None else "withdrawn",
        "withdrawn_at": alert.withdrawn,
        "deliveries": deliveries,
    }


def channel_rows(deliveries: Deliveries, settings: AlertSettings) -> list[ChannelRow]:
    """Every channel: its kind, state, problem and waiting messages."""
    rows: list[ChannelRow] = []
    for name, channel in settings.channels.items():
        state = deliveries.state(name)
        rows.append(
            {
                "channel": name,
                "kind": channel.kind,
                "state": "disabled" if state.disabled else "paused" if state.paused_ms else "working",
                "reason": state.disabled or state.trouble,
                "waiting": state.waiting + state.claimed,
                "done": state.done,
                "dropped": state.dropped,
                "paused_real_seconds": state.paused_ms / 1000,
            }
        )
    return rows


def _cursor(end_s: int, identity: str) -> str:
    return base64.urlsafe_b64encode(f"{end_s} {identity}".encode()).decode().rstrip("=")


def _parse_cursor(cursor: str) -> tuple[int, str]:
    try:
        text = base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        text = ""
    match = _CURSOR.fullmatch(text)
    if not match:
        raise InvalidInput("invalid cursor: use `next` of the previous page")
    return int(match[1]), match[2]
