"""Messages of alerts on their way: who has claimed which, and how each channel is doing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import orjson
from redis import Redis

from app.storage import keys
from app.storage.alerts import AlertCache, StoredAlert, alert_of_row
from app.storage.connection import hash_at
from app.storage.scripts import script


class Claim(NamedTuple):
    """A message that is the caller's until `until_ms`. `tries`: how often it was claimed, this time included."""

    channel: str
    kind: str
    alert: StoredAlert
    until_ms: int
    tries: int
    now_ms: int


class ChannelState(NamedTuple):
    """`disabled`: why no message is sent until its settings change; `trouble`: what went wrong last. Redis' clock."""

    waiting: int
    claimed: int
    done: int
    dropped: int
    failures: int
    paused_ms: int
    disabled: str | None
    target: str | None
    trouble: str | None


class Deliveries:
    def __init__(self, client: Redis) -> None:
        self._client = client
        self._claim = script(client, "claim_delivery")
        self._finish = script(client, "finish_delivery")

    def claim(self, channel: str, *, at_once: int, lease_s: float, target: str, only: str = "") -> Claim | None:
        """The next message of `channel`; None where there is none, or the channel pauses, is busy, or disabled.

        `only`: the identity of the alert whose raising is to be claimed, and no other message.
        """
        wanted = f"raised|{only}" if only else ""
        answer = self._claim(keys=_keys(channel), args=[at_once, int(lease_s * 1000), target, channel, wanted])
        if not answer:
            return None
        kind, identity, until_ms, tries, now_ms, flat = answer
        row = dict(zip(flat[::2], flat[1::2], strict=True))
        return Claim(channel, kind.decode(), alert_of_row(identity.decode(), row), until_ms, tries, now_ms)

    def waiting_to_raise(self, channel: str, at_most: int) -> list[StoredAlert]:
        """Alerts that wait to be told to `channel` for the first time."""
        rows = cast("list[bytes]", self._client.zrange(_keys(channel)[0], 0, at_most - 1))
        waiting = [raw.decode() for raw in rows]
        return AlertCache(self._client).read(m.partition("|")[2] for m in waiting if m.startswith("raised|"))

    def settle(self, claim: Claim, state: str, pause_s: float = 0) -> None:
        """`state`: sent, in one word or another."""
        self._finish_claim(claim, "sent", _outcome(claim, state), pause_s)

    def refuse(self, claim: Claim, reason: str, target: str, *, at_most: int) -> bool:
        """The service will never take this one. After `at_most` in a row the channel is disabled; whether it is."""
        note = _outcome(claim, f"refused: {reason}")
        return self._finish_claim(claim, "refuse", note, target=target, reason=reason, at_most=at_most) < 0

    def skip(self, claim: Claim, reason: str) -> None:
        """Nothing is to be sent, for `reason`."""
        self._finish_claim(claim, "skip", _outcome(claim, reason))

    def defer(self, claim: Claim, reason: str, after_s: float) -> None:
        """The service asked to wait: the channel pauses, and the try does not count."""
        self._finish_claim(claim, "defer", reason, after_s)

    def retry(self, claim: Claim, reason: str, *, first_s: float, longest_s: float) -> None:
        """The channel pauses for `first_s`, and at each failure in a row twice as long, up to `longest_s`."""
        self._finish_claim(claim, "retry", reason, first_s, longest_s)

    def disable_after(self, claim: Claim, reason: str, target: str) -> None:
        """The channel is disabled until it has another target, or somebody enables it."""
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
        """What was disabled or paused is tried again. Returns whether it was either."""
        with self._client.pipeline() as pipe:
            pipe.hmget(_keys(channel)[2], "disabled", "paused_until_ms")
            pipe.hdel(_keys(channel)[2], "disabled", "target", "paused_until_ms", "failures", "refusals", "trouble")
            stopped, _ = pipe.execute()
        return any(stopped)

    def waiting(self, channels: Iterable[str]) -> dict[str, int]:
        """How many messages wait, or were claimed by somebody, for each channel."""
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
            target=text(b"target"),
            trouble=text(b"trouble"),
        )


def _keys(channel: str) -> list[str]:
    return [keys.deliveries(channel, part) for part in ("waiting", "claimed", "state")]


def _outcome(claim: Claim, state: str) -> bytes:
    return orjson.dumps({"state": state, "tries": claim.tries, "at_ms": claim.now_ms})
