"""The log as a channel: one line per message."""

from __future__ import annotations

import logging

from app.delivery.channels.channel import Channel, Message

log = logging.getLogger("app.alerts")


class LogChannel(Channel):
    target = "log"

    def send(self, message: Message) -> float:
        log.info("%s | %s | %s", message.title, "; ".join(message.lines), message.id)
        return 0
