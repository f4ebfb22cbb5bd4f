"""Any HTTP endpoint: the alert as JSON, signed."""

from __future__ import annotations

import hashlib
import hmac

import orjson

from app.delivery.channels.channel import Channel, Message
from app.delivery.channels.http import Http, check


class WebhookChannel(Channel):
    def __init__(self, http: Http, secret: str | None, at_once: int) -> None:
        self._http = http
        self._secret = secret
        self.at_once = at_once
        self.target = http.target

    def send(self, message: Message) -> float:
        body = orjson.dumps(
            {
                "id": message.id,
                "type": f"alert.{message.kind}",
                "title": message.title,
                "alert": message.fact,
            }
        )
        check(self._http.post(body, self.headers(message.id, body, message.now_s)))
        return 0

    def headers(self, identity: str, body: bytes, now_s: int) -> dict[str, str]:
        """The signature covers the time, so that a receiver can refuse old messages."""
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "candlewick",
            "Idempotency-Key": identity,
            "X-Candlewick-Timestamp": str(now_s),
        }
        if self._secret is not None:
            headers["X-Candlewick-Signature"] = f"sha256={sign(self._secret, now_s, body)}"
        return headers


def sign(secret: str, timestamp_s: int, body: bytes) -> str:
    """HMAC-SHA256 of `<timestamp>.<body>`, in hexadecimal."""
    return hmac.new(secret.encode(), b"%d.%s" % (timestamp_s, body), hashlib.sha256).hexdigest()
