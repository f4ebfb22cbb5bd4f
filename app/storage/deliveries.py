"""Delivery of alert messages: claims, and the state of each channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import orjson
from redis import Redis

from app.storage import keys
from app.storage.alerts import AlertCache, StoredAlert, alert_of_row
from app.storage.connection import hash_at
from app.storage.scripts import script
from app.wire.alerts import DeliveryOutcome


class Claim(NamedTuple):
    """A message claimed by the caller until `until_ms`. `tries`: number of claims so far, this one included."""

    channel: str
    kind: str
    alert: StoredAlert
    until_ms: int
    tries: int
    now_ms: int


class ChannelState(NamedTuple):
    """`disabled`: why nothing is sent until its settings change. `trouble`: the last problem. Redis' clock."""

    waiting: int
    claimed: int
    done: int
    dropped: int
    failures: int
    paused_ms: int
    disabled: str | None
    trouble: str | None


class Deliveries:
    def __init__(self, client: Redis) -> None:
        self._client = client
        self._claim = script(client, "claim_delivery")
        self._finish = script(client, "finish_delivery")

    def claim(self, channel: str, *, at_once: int, lease_s: float, target: str, only: str = "") -> Claim | None:
        """The next message of `channel`; None if there is none, or if the channel is paused, busy or disabled.

        `only`: claim only the first message of the alert with this id.
        """
        wanted = f"raised|{only}" if only else ""
        answer = self._claim(keys=_keys(channel), args=[at_once, int(lease_s * 1000), target, channel, wanted])
        if not answer:
            return None
        kind, identity, until_ms, tries, now_ms, flat = answer
        row = dict(zip(flat[::2], flat[1::2], strict=True))
        return Claim(channel, kind.decode(), alert_of_row(identity.decode(), row), until_ms, tries, now_ms)

    def waiting_to_raise(self, channel: str, at_most: int) -> list[StoredAlert]:
        """Alerts whose first message to `channel` is waiting."""
        rows = cast("list[bytes]", self._client.zrange(_keys(channel)[0], 0, at_most - 1))
        waiting = [raw.decode() for raw in rows]
        return AlertCache(self._client).read(m.partition("|")[2] for m in waiting if m.startswith("raised|"))

    def settle(self, claim: Claim, state: str, pause_s: float = 0) -> None:
        """Record that the message was sent. `state`: how."""
        self._finish_claim(claim, "sent", _outcome(claim, state), pause_s)

    def refuse(self, claim: Claim, reason: str, target: str, *, at_most: int) -> bool:
        """The service rejects this message for good. Returns whether `at_most` in a row have disabled the channel."""
        note = _outcome(claim, f"refused: {reason}")
        return self._finish_claim(claim, "refuse", note, target=target, reason=reason, at_most=at_most) < 0

    def skip(self, claim: Claim, reason: str) -> None:
        """Drop the message, for `reason`."""
        self._finish_claim(claim, "skip", _outcome(claim, reason))

    def defer(self, claim: Claim, reason: str, after_s: float) -> None:
        """The service requested a delay: the channel pauses, and the try does not count."""
        self._finish_claim(claim, "defer", reason, after_s)

    def retry(self, claim: Claim, reason: str, *, first_s: float, longest_s: float) -> None:
        """Pause the channel for `first_s`, doubled with each failure in a row, up to `longest_s`."""
        self._finish_claim(claim, "retry", reason, first_s, longest_s)

    def disable_after(self, claim: Claim, reason: str, target: str) -> None:
        """Disable the channel until its target changes or a user enables it."""
        self._finish_claim(claim, "disable", reason, target=target)

    def _finish_claim(
        self,
        claim: Claim,
        what: str,
        note: str | bytes,
        pause_s: float = 0,
        longest_s: float = 0,
        target: str = "",
        reason: str = "",
        at_most: int = 0,
    ) -> int:
        done: int = self._finish(
            keys=[*_keys(claim.channel), keys.alert(claim.alert.id)],
            args=[
                f"{claim.kind}|{claim.alert.id}",
                claim.until_ms,
                what,
                note,
                claim.channel,
                int(pause_s * 1000),
                int(longest_s * 1000),
                target,
                reason,
                at_most,
            ],
        )
        return done

    def disable(self, channel: str, reason: str, target: str) -> None:
        self._client.hset(_keys(channel)[2], mapping={"disabled": reason, "target": target, "trouble": reason})

    def enable(self, channel: str) -> bool:
        """Enable the channel and end its pause. Returns whether it was disabled or paused."""
        with self._client.pipeline() as pipe:
            pipe.hmget(_keys(channel)[2], "disabled", "paused_until_ms")
            pipe.hdel(_keys(channel)[2], "disabled", "target", "paused_until_ms", "failures", "refusals", "trouble")
            stopped, _ = pipe.execute()
        return any(stopped)

    def waiting(self, channels: Iterable[str]) -> dict[str, int]:
        """Number of messages that wait or are claimed, for each channel."""
        channels = list(channels)
        with self._client.pipeline(transaction=False) as pipe:
            for channel in channels:
                pipe.zcard(keys.deliveries(channel, "waiting"))
                pipe.zcard(keys.deliveries(channel, "claimed"))
            counts = pipe.execute()
        return {channel: counts[2 * i] + counts[2 * i + 1] for i, channel in enumerate(channels)}

    def state(self, channel: str) -> ChannelState:
        waiting, claimed, state = _keys(channel)
        row: dict[bytes, Any] = dict(hash_at(self._client, state))
        seconds, micros = self._client.time()
        paused_ms = int(row.get(b"paused_until_ms", 0)) - (seconds * 1000 + micros // 1000)

        def text(name: bytes) -> str | None:
            return row[name].decode() if name in row else None

        return ChannelState(
            waiting=self._client.zcard(waiting),
            claimed=self._client.zcard(claimed),
            done=int(row.get(b"done", 0)),
            dropped=int(row.get(b"dropped", 0)),
            failures=int(row.get(b"failures", 0)),
            paused_ms=max(0, paused_ms),
            disabled=text(b"disabled"),
            trouble=text(b"trouble"),
        )


def _keys(channel: str) -> list[str]:
    return [keys.deliveries(channel, part) for part in ("waiting", "claimed", "state")]


def _outcome(claim: Claim, state: str) -> bytes:
    outcome: DeliveryOutcome = {"state": state, "tries": claim.tries, "at_ms": claim.now_ms}
    return orjson.dumps(outcome)
