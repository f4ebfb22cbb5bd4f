"""Texts of messages. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.util.timestamps import format_utc
from app.wire.alerts import AlertEvent, AlertFact, AlertPoint

PREFIXES = {"raised": "", "withdrawn": "Withdrawn: ", "restored": "Restored: "}

TIMEFRAMES_PER_ROW = 2
"""Timeframes side by side: as many as a phone shows without wrapping."""


def title_of(fact: AlertFact, kind: str = "raised") -> str:
    return PREFIXES[kind] + f"{fact['product']}: {_happened(fact)} ({fact['timeframe']})"


def _happened(fact: AlertFact) -> str:
    event = fact["event"]
    match fact["kind"]:
        case "level":
            return f"MACD-V crossed {_side(event)} {event['level']:g}"
        case "reversal":
            return f"Potential reversal {'up' if event['zone'] == 'oversold' else 'down'} from {event['zone']}"
        case "stage":
            return f"Stage changed from {event['from']} to {event['to']}"
        case "price":
            return f"Price crossed {_side(event)} {price_text(event['price'])}"
    raise ValueError(f"unknown kind of alert: {fact['kind']}")


def _side(event: AlertEvent) -> str:
    return "below" if event["direction"] == "down" else "above"


def meaning_of(fact: AlertFact) -> str:
    """The meaning of a title, in a sentence; empty if there is nothing to add."""
    event = fact["event"]
    match fact["kind"]:
        case "level" if abs(event["level"]) >= 150:
            return f"Entering {'oversold' if event['level'] < 0 else 'overbought'} territory"
        case "reversal":
            return f"The histogram has passed its buffer of {event['buffer']:.1f}"
    return ""


def lines_of(fact: AlertFact, kind: str = "raised") -> list[str]:
    """All other lines; `grid_of` is separate, because it needs a fixed width."""
    lines = {
        "raised": [meaning_of(fact)],
        "withdrawn": ["The exchange has corrected a candle: this alert was wrong"],
        "restored": ["With the corrected candles, this alert is valid"],
    }[kind]
    lines += [
        f"Price {price_text(fact['price'])}",
        f"MACD-V {number(fact['macdv'])}, signal {number(fact['signal'])}, histogram {number(fact['histogram'])}",
        f"Stage {fact['stage'] or 'N/A'}, bias {fact['bias']}",
        f"Candle of {format_utc(fact['start'])} UTC, "
        f"{'confirmed' if fact['confirmed'] else 'closed, not yet confirmed'}",
    ]
    return [line for line in lines if line]


def digest_of(facts: Sequence[AlertFact], most: int = 40) -> tuple[str, list[str]]:
    """Title and lines of many old alerts: newest first, by the end of their bars."""
    ordered = sorted(facts, key=lambda fact: (-fact["end"], fact["product"]))
    title = f"{len(facts)} alerts of {format_utc(ordered[-1]['end'])} to {format_utc(ordered[0]['end'])} UTC"
    lines = [f"{format_utc(fact['end'])}  {title_of(fact)}" for fact in ordered[:most]]
    return title, [*lines, f"and {len(facts) - most} older ones"] if len(facts) > most else lines


def grid_of(fact: AlertFact) -> list[str]:
    """MACD-V of every timeframe, as rows of fixed width."""
    cells = [f"{t:>3}: {_short(value):<5}" for t, value in fact["timeframes"].items()]
    return [" | ".join(cells[i : i + TIMEFRAMES_PER_ROW]).rstrip() for i in range(0, len(cells), TIMEFRAMES_PER_ROW)]


def number(value: float | None) -> str:
    return "N/A" if value is None else f"{value:+.1f}"


def price_text(price: float, digits: int = 10) -> str:
    """`price` without an exponent, to `digits` significant figures."""
    return np.format_float_positional(price, precision=digits, unique=False, fractional=False, trim="-")


def _short(value: AlertPoint | None) -> str:
    return "N/A" if value is None else f"{value['macdv']:+.0f}"
