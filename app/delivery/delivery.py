"""Delivery: sends waiting messages over their channels, and records the outcome of each.

A message is claimed for a while, sent, and recorded. If a process exits in between, its claim expires and another one
sends the message (again, if the exit came between sending and recording). Alerts are sent one by one; old ones are
sent together, as one digest.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from app.alerts.settings import DeliverySettings
from app.delivery.channels.channel import (
    Channel,
    ChannelBroken,
    DeliveryError,
    Digest,
    Message,
    MessageRefused,
    TooMany,
)
from app.delivery.texts import digest_of, lines_of, title_of
from app.storage.alerts import StoredAlert
from app.storage.deliveries import Claim, Deliveries

log = logging.getLogger(__name__)

FIRST_BACKOFF_S, MAX_BACKOFF_S = 1.0, 300.0
MAX_TRIES = 100
"""With the longest back-off that is a working day; then a message that never succeeds is dropped."""

REFUSALS = 3
"""In a row, after which a channel is disabled: then the messages are not the problem."""

OLD_BARS, OLD_S = 3, 900
"""An alert is old if this many bars of its timeframe and this many seconds have passed since its bar: several old ones
are sent as one digest.
"""
MAX_IN_DIGEST = 1_000

Chart = Callable[[StoredAlert], bytes | None]


class Delivery:
    """Safe to call from any number of threads and processes."""

    def __init__(
        self,
        deliveries: Deliveries,
        channels: Mapping[str, Channel],
        settings: DeliverySettings,
        chart_of: Chart,
        exchange_s: Callable[[], float | None],
    ) -> None:
        """`exchange_s`: the exchange's time, None if unknown."""
        self._deliveries = deliveries
        self.channels = channels
        self._settings = settings
        self._picture = chart_of
        self._exchange_s = exchange_s

    def waiting(self) -> dict[str, int]:
        """Channels with waiting messages, and how many."""
        return {name: count for name, count in self._deliveries.waiting(self.channels).items() if count}

    def drain(self, name: str, *, max_s: float = 20.0) -> int:
        """Send the messages of channel `name` until none is due or `max_s` have passed; returns how many were sent."""
        channel = self.channels[name]
        until, sent = time.monotonic() + max_s, 0
        while time.monotonic() < until:
            claim = self._claim(name, channel, channel.at_once)
            if claim is None:
                break
            sent += self._settle(self._claim_old(claim, channel) if channel.digests else [claim], channel)
        return sent

    def _claim(self, name: str, channel: Channel, at_once: int, only: str = "") -> Claim | None:
        lease_s, target = self._settings.lease_seconds, channel.target
        return self._deliveries.claim(name, at_once=at_once, lease_s=lease_s, target=target, only=only)

    def _claim_old(self, first: Claim, channel: Channel) -> list[Claim]:
        """`first`, and all other waiting old alerts if it is old."""
        now_s = self._exchange_s()
        if now_s is None or first.kind != "raised" or not is_old(first.alert, now_s):
            return [first]
        others = (a.id for a in self._deliveries.waiting_to_raise(first.channel, MAX_IN_DIGEST) if is_old(a, now_s))
        claims = [self._claim(first.channel, channel, MAX_IN_DIGEST + 1, only=identity) for identity in others]
        return [first, *(claim for claim in claims if claim is not None)]

    def _settle(self, claims: list[Claim], channel: Channel) -> int:
        """Send the `claims` that are still true, several as one digest; its outcome applies to each."""
        said: list[Claim] = []
        for claim in claims:
            kind, reason = message_due(claim, self._settings.max_age_hours * 3_600_000)
            if kind is None:
                self._deliveries.skip(claim, reason)
            else:
                said.append(claim)
        if not said:
            return 0
        if len(claims) > 1:
            send = partial(channel.send_digest, _digest(said))
        else:
            assert kind is not None  # that of the only claim
            alert, now_s = said[0].alert, said[0].now_ms // 1000
            send = partial(channel.send, message_of(alert, kind, partial(self._picture, alert), now_s))
        outcome = _tried(send)
        if isinstance(outcome, DeliveryError):
            self._note(said, channel, outcome)
            return 0
        for claim in said:
            self._deliveries.settle(claim, "sent", outcome)
        return len(said)

    def _note(self, claims: list[Claim], channel: Channel, error: DeliveryError) -> None:
        """Record why the one message of `claims` was not accepted.

        The first claim stops the channel, if the error does, before the others wait again. Their try counts if the
        message may have arrived: a recipient of an alert must also receive its withdrawal.
        """
        (first, *others), said = claims, str(error)
        name = first.channel
        match error:
            case TooMany():
                log.info("channel %s is rate limited: pausing for %.1f s", name, error.retry_after_s)
                self._deliveries.defer(first, said, error.retry_after_s or 0)
            case MessageRefused():
                log.error("channel %s refused %s: %s", name, first.alert.id, said)
                if self._deliveries.refuse(first, said, channel.target, at_most=REFUSALS):
                    log.error("channel %s is disabled until its settings change: %d refusals in a row", name, REFUSALS)
            case ChannelBroken():
                log.error("channel %s is disabled until its settings change: %s", name, said)
                self._deliveries.disable_after(first, said, channel.target)
            case _:
                more = f" and {len(others)} more" if others else ""
                log.warning("channel %s: %s%s not sent (try %d): %s", name, first.alert.id, more, first.tries, said)
                for claim in claims:
                    self._failed(claim, said)
                return
        for claim in others:
            self._deliveries.defer(claim, said, 0)

    def _failed(self, claim: Claim, said: str) -> None:
        if claim.tries < MAX_TRIES:
            self._deliveries.retry(claim, said, first_s=FIRST_BACKOFF_S, longest_s=MAX_BACKOFF_S)
        else:
            log.error("channel %s: %s given up after %d tries: %s", claim.channel, claim.alert.id, claim.tries, said)
            self._deliveries.skip(claim, f"given up after {claim.tries} tries: {said}")


def _tried(send: Callable[[], float]) -> float | DeliveryError:
    """The pause in seconds that the service requires, or why it did not accept the message."""
    try:
        return send()
    except DeliveryError as error:
        return error
    except Exception as error:
        # Any other exception counts as a try. Its text may contain the sent message, and with it a secret.
        return DeliveryError(f"unexpected {type(error).__name__}")


def is_old(alert: StoredAlert, exchange_s: float) -> bool:
    """Whether the bar of `alert` ended long before `exchange_s` (exchange time)."""
    start_s, end_s = alert.fact["start"], alert.fact["end"]
    return bool(exchange_s - end_s > max(OLD_S, OLD_BARS * (end_s - start_s)))


def message_due(claim: Claim, max_age_ms: float) -> tuple[str | None, str]:
    """The kind of message that is true now; or None, and why none is sent.

    A correction may have come before the message was sent, or another one since. A message that may have arrived at an
    earlier try counts as sent.
    """
    alert, kind = claim.alert, claim.kind
    states = {kind: outcome["state"] for (channel, kind), outcome in alert.said.items() if channel == claim.channel}
    raised, withdrawn = states.get("raised"), states.get("withdrawn")
    if kind == "raised":
        if claim.tries == 1 and alert.withdrawn is not None:
            return None, "withdrawn before it was sent"
        if claim.now_ms - alert.raised_ms > max_age_ms:
            return None, "too old"
    elif (kind == "withdrawn") == (alert.withdrawn is None):
        return None, "no longer true"
    elif kind == "withdrawn" and raised != "sent":
        return None, "was never sent"
    elif kind == "restored" and withdrawn != "sent":
        return ("raised", "") if raised == "withdrawn before it was sent" else (None, "was never sent")
    return kind, ""


def _digest(claims: list[Claim]) -> Digest:
    title, lines = digest_of([claim.alert.fact for claim in claims])
    identity = hashlib.sha256("\n".join(sorted(c.alert.id for c in claims)).encode()).hexdigest()[:32]
    return Digest(f"digest|{identity}", title, lines, claims[0].now_ms // 1000)


def message_of(alert: StoredAlert, kind: str, chart_of: Callable[[], bytes | None], now_s: int) -> Message:
    return Message(
        f"{alert.id}|{kind}", kind, alert.fact, title_of(alert.fact, kind), lines_of(alert.fact, kind), chart_of, now_s
    )
