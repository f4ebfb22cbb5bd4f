"""A Telegram bot: a photo with a caption, or a text."""

from __future__ import annotations

import logging

from app.delivery.channels.channel import Channel, ChannelBroken, Digest, Message
from app.delivery.channels.http import Http, HttpReply, check
from app.delivery.texts import grid_of

log = logging.getLogger(__name__)

MAX_CAPTION, MAX_TEXT = 1024, 4096


class TelegramChannel(Channel):
    digests = True

    def __init__(self, http: Http, chat: str, *, chart: bool) -> None:
        """`http`: posts below `https://api.telegram.org/bot<token>`."""
        self._http = http
        self._chat = chat
        self._chart = chart
        self.target = f"{http.target}:{chat}"

    def send(self, message: Message) -> float:
        chart_of = message.chart_of() if self._chart and message.kind == "raised" else None
        text = "\n".join([message.title, *message.lines, *grid_of(message.fact), message.id])[:MAX_CAPTION]
        return self._say(text, chart_of)

    def send_digest(self, digest: Digest) -> float:
        return self._say(digest.text[:MAX_TEXT], None)

    def _say(self, text: str, chart_of: bytes | None) -> float:
        reply = self._post(text, chart_of)
        if reply.status == 400 and (chat := moved_to(reply)):
            log.warning("the Telegram group %s has become %s: change it in candlewick.toml", self._chat, chat)
            self._chat = chat
            reply = self._post(text, chart_of)
        if reply.status == 400 and "chat not found" in str(reply.json().get("description", "")):
            raise ChannelBroken("the service answered 400: chat not found")
        check(reply)
        return 0

    def _post(self, text: str, chart_of: bytes | None) -> HttpReply:
        fields: dict[str, str | bytes | tuple[str, bytes, str]] = {
            "chat_id": self._chat,
            "caption" if chart_of else "text": text,
        }
        if chart_of:
            fields["photo"] = ("chart.png", chart_of, "image/png")
        return self._http.post_form(fields, "/sendPhoto" if chart_of else "/sendMessage")


def moved_to(reply: HttpReply) -> str | None:
    """The new chat of a group: Telegram makes a large one a supergroup, with another id."""
    parameters = reply.json().get("parameters")
    chat = parameters.get("migrate_to_chat_id") if isinstance(parameters, dict) else None
    return str(chat) if isinstance(chat, int) else None
