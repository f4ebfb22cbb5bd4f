"""Discord's webhook: an embed, with the chart as its image."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from app.delivery.channels.channel import Channel, Digest, Message
from app.delivery.channels.http import Http, HttpReply, check, seconds_of
from app.delivery.texts import grid_of, price_text

UP, DOWN, GREY = 0x26A69A, 0xEF5350, 0x90A4AE
MAX_TITLE, MAX_DESCRIPTION = 256, 4096
BULLISH = ("up", "oversold", "rebounding", "rallying")


class DiscordChannel(Channel):
    digests = True

    def __init__(self, http: Http, *, chart: bool) -> None:
        self._http = http
        self._chart = chart
        self.target = http.target

    def send(self, message: Message) -> float:
        chart_of = message.chart_of() if self._chart and message.kind == "raised" else None
        return self._post(embed_of(message, has_chart=chart_of is not None), chart_of)

    def send_digest(self, digest: Digest) -> float:
        text = "\n".join(digest.lines)[:MAX_DESCRIPTION]
        title, footer = digest.title[:MAX_TITLE], {"text": digest.id}
        return self._post({"title": title, "description": text, "color": GREY, "footer": footer}, None)

    def _post(self, embed: dict[str, object], chart_of: bytes | None) -> float:
        payload = orjson.dumps({"embeds": [embed], "allowed_mentions": {"parse": []}})
        fields: dict[str, str | bytes | tuple[str, bytes, str]] = {"payload_json": payload}
        if chart_of:
            fields["files[0]"] = ("chart.png", chart_of, "image/png")
        reply = self._http.post_form(fields)
        check(reply)
        return pause_after(reply)


def embed_of(message: Message, *, has_chart: bool) -> dict[str, object]:
    """The embed; its footer is the message id."""
    fact = message.fact
    grid = "\n".join(grid_of(fact))
    embed: dict[str, object] = {
        "title": message.title[:MAX_TITLE],
        "description": "\n".join(message.lines) + f"\n```\n{grid}\n```",
        "color": color_of(message),
        "fields": [
            {"name": "Price", "value": price_text(fact["price"]), "inline": True},
            {"name": "Bias", "value": fact["bias"], "inline": True},
        ],
        "timestamp": datetime.fromtimestamp(fact["end"], UTC).isoformat(),
        "footer": {"text": message.id},
    }
    return {**embed, "image": {"url": "attachment://chart.png"}} if has_chart else embed


def color_of(message: Message) -> int:
    if message.kind != "raised":
        return GREY
    event = message.fact["event"]
    towards = event.get("direction") or event.get("zone") or event.get("to")
    return UP if towards in BULLISH else DOWN


def pause_after(reply: HttpReply) -> float:
    """Seconds until the next message, if this one was the last of Discord's rate limit."""
    if reply.headers.get("X-RateLimit-Remaining") != "0":
        return 0
    return min(seconds_of(reply.headers.get("X-RateLimit-Reset-After")) or 0, 60)
