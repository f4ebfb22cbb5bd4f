"""Delivery: takes messages one by one, has their channels send them, and notes what became of each.

A message is claimed for a while, sent, and noted. Whoever dies in between leaves a claim that runs out, and the next
one sends the message (again, if the death came between sending and noting).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from app.alerts.channels.channel import Channel, ChannelBroken, DeliveryError, Message, MessageRefused, TooMany
from app.alerts.settings import DeliverySettings
from app.alerts.texts import lines_of, title_of
from app.cache.alerts import StoredAlert
from app.cache.deliveries import Claim, Deliveries

log = logging.getLogger(__name__)

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 1.0, 300.0
MOST_TRIES = 100
"""With the longest back-off that is a working day; then a message that nothing ever answers to makes room."""

REFUSALS = 3
"""In a row, after which a channel is disabled: then it is not the messages that are wrong."""

Picture = Callable[[StoredAlert], bytes | None]


class Delivery:
    """Safe to call from any number of threads and processes."""

    def __init__(
        self, deliveries: Deliveries, channels: Mapping[str, Channel], settings: DeliverySettings, picture: Picture
    ) -> None:
        self._deliveries = deliveries
        self._channels = channels
        self._settings = settings
        self._picture = picture

    def waiting(self) -> dict[str, int]:
        """Channels that have something to send, and how much."""
        return {name: count for name, count in self._deliveries.waiting(self._channels).items() if count}

    def drain(self, channel: str, *, max_s: float = 20.0) -> int:
        """Send what waits for `channel`, until nothing is due or `max_s` have passed; returns how many were sent."""
        carrier = self._channels[channel]
        until, sent = time.monotonic() + max_s, 0
        while time.monotonic() < until:
            claim = self._deliveries.claim(
                channel, at_once=carrier.at_once, lease_s=self._settings.lease_seconds, target=carrier.target
            )
            if claim is None:
                break
            sent += self._settle(claim, carrier)
        return sent

    def _settle(self, claim: Claim, carrier: Channel) -> bool:
        kind, reason = to_say(claim, self._settings.max_age_hours * 3_600_000)
        if kind is None:
            self._deliveries.dropped(claim, reason)
            return False
        message = message_of(claim.alert, kind, lambda: self._picture(claim.alert), claim.now_ms // 1000)
        try:
            pause_s = carrier.send(message)
        except DeliveryError as error:
            self._note(claim, carrier, error)
            return False
        except Exception as error:
            # Whatever else a channel raises counts as a try. Its text may hold what was sent, and with it a secret.
            self._note(claim, carrier, DeliveryError(f"unexpected {type(error).__name__}"))
            return False
        self._deliveries.done(claim, "sent", pause_s)
        return True

    def _note(self, claim: Claim, carrier: Channel, error: DeliveryError) -> None:
        channel, said = claim.channel, str(error)
        match error:
            case TooMany():
                log.info("channel %s asks to wait %.1f s", channel, error.retry_after_s)
                self._deliveries.again(claim, said, error.retry_after_s or 0)
            case MessageRefused():
                log.error("channel %s refused %s: %s", channel, claim.alert.id, said)
                if self._deliveries.refused(claim, said, carrier.target, at_most=REFUSALS):
                    log.error(
                        "channel %s is disabled until its settings change: %d refusals in a row", channel, REFUSALS
                    )
            case ChannelBroken():
                log.error("channel %s is disabled until its settings change: %s", channel, said)
                self._deliveries.broken(claim, said, carrier.target)
            case _ if claim.tries >= MOST_TRIES:
                log.error("channel %s: %s given up after %d tries: %s", channel, claim.alert.id, claim.tries, said)
                self._deliveries.dropped(claim, f"given up after {claim.tries} tries: {said}")
            case _:
                log.warning("channel %s: %s not sent (try %d): %s", channel, claim.alert.id, claim.tries, said)
                self._deliveries.failed(claim, said, first_s=FIRST_BACKOFF_S, longest_s=LONGEST_BACKOFF_S)


def to_say(claim: Claim, max_age_ms: float) -> tuple[str | None, str]:
    """What kind of message is true now; or None, and why nothing is to be said.

    A correction may have come before the message was sent, or another one since. What may have arrived at an earlier
    try is said as if it had.
    """
    alert, kind = claim.alert, claim.kind
    raised = alert.said.get((claim.channel, "raised"), {}).get("state")
    withdrawn = alert.said.get((claim.channel, "withdrawn"), {}).get("state")
    if kind == "raised":
        if claim.tries == 1 and alert.withdrawn is not None:
            return None, "withdrawn before it was sent"
        if claim.now_ms - alert.raised_ms > max_age_ms:
            return None, "too old"
    elif (kind == "withdrawn") == (alert.withdrawn is None):
        return None, "no longer so"
    elif kind == "withdrawn" and raised != "sent":
        return None, "was never said"
    elif kind == "restored" and withdrawn != "sent":
        return ("raised", "") if raised == "withdrawn before it was sent" else (None, "was never said")
    return kind, ""


def message_of(alert: StoredAlert, kind: str, picture: Callable[[], bytes | None], now_s: int) -> Message:
    return Message(
        f"{alert.id}|{kind}", kind, alert.fact, title_of(alert.fact, kind), lines_of(alert.fact, kind), picture, now_s
    )
