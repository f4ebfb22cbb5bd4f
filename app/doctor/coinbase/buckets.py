"""Assumptions about the updates of buckets. Pure."""

from __future__ import annotations

from app.doctor.coinbase.assumption import Assumption
from app.doctor.coinbase.evidence import Frame, Response, Row, Update
from app.doctor.finding import Problems, Verdict, counted, verdict
from app.exchange.adapter import Connected, FeedEvent
from app.exchange.buckets import STEP_S
from app.market.timeframes import BASE
from app.util.timestamps import format_utc

Bucket = tuple[str, int]
"""Product, and start (UNIX seconds)."""


def shown(bucket: Bucket) -> str:
    return f"{bucket[0]} {format_utc(bucket[1])}"


class UpdateAfterEnd(Assumption):
    """Judged by buckets with a trade between their last update and their end, as REST or a later update shows."""

    name = "update-after-end"
    used_for = "The last trades of a bucket come in an update after its end, so closing waits for it."

    def __init__(self, settling_s: float) -> None:
        self._settling_s = settling_s
        self._at_end: dict[Bucket, Row] = {}
        """The last state before the end of each bucket."""
        self._lateness_ms: dict[Bucket, int] = {}
        """Of the last change after it."""
        self._final: dict[Bucket, Row] = {}

    def frame(self, frame: Frame) -> None:
        if frame.envelope is None:
            return
        for product, start_s, row in frame.updates:
            bucket, lateness_ms = (product, start_s), frame.envelope.time_ms - (start_s + STEP_S) * 1000
            if lateness_ms < 0:
                self._at_end[bucket] = row
            elif bucket in self._at_end and row != self._at_end[bucket]:
                self._lateness_ms[bucket] = lateness_ms

    def response(self, response: Response) -> None:
        page = response.page
        if page is not None and page.timeframe is BASE and response.is_fine:
            settled = (s for s in page.rows if page.is_settled(s, response, self._settling_s))
            self._final.update({(page.product, start_s): page.rows[start_s] for start_s in settled})

    def conclusion(self) -> tuple[str, Verdict]:
        late = self._lateness_ms.values()
        known = self._final.keys() & self._at_end.keys()
        changed = {bucket for bucket in known if self._final[bucket] != self._at_end[bucket]} | self._lateness_ms.keys()
        if not changed:
            seen = f"none of {counted(len(known), 'bucket')} had a trade after its last update: too short, or quiet"
            return seen, Verdict.UNSEEN
        seen = f"{counted(len(changed), 'bucket')} had a trade after the last update before the end: {len(late)} were "
        seen += f"updated, {min(late) / 1000:.1f} to {max(late) / 1000:.1f} s after the end" if late else "updated"
        return seen, verdict(True, late)


class UpdateWithinGrace(Assumption):
    """Both clocks must show that an update is late: at 60 times the speed, two exchange seconds pass in an instant."""

    name = "update-within-grace"
    used_for = "A bucket is closed CANDLEWICK_CLOSE_GRACE_SECONDS after its end; a later change is a revision."

    def __init__(self, grace_s: float) -> None:
        self._grace_ms = round(grace_s * 1000)
        self._rows: dict[Bucket, Row] = {}
        self._ended_local_ms: dict[tuple[str, int], int] = {}
        """When a connection passed the end of a bucket, by the bucket's start."""
        self._open_s: dict[str, int] = {}
        self._late = Problems()

    def frame(self, frame: Frame) -> None:
        if frame.envelope is None:
            return
        self._pass(frame, BASE.bucket(frame.envelope.time_ms / 1000))
        for update in frame.updates:
            if self._is_late(update, frame, frame.envelope.time_ms):
                lateness_s = frame.envelope.time_ms / 1000 - update.start_s - STEP_S
                self._late.add(f"{shown((update.product, update.start_s))}: {lateness_s:.1f} s after its end")

    def _pass(self, frame: Frame, open_s: int) -> None:
        before_s = self._open_s.setdefault(frame.connection, open_s)
        for start_s in range(before_s, open_s, STEP_S):
            self._ended_local_ms[frame.connection, start_s] = frame.local_ms
        self._open_s[frame.connection] = max(before_s, open_s)

    def _is_late(self, update: Update, frame: Frame, exchange_ms: int) -> bool:
        """Whether `update` changes a bucket that should be closed. An older state is `volume-grows`' concern."""
        bucket = update.product, update.start_s
        ended_local_ms = self._ended_local_ms.get((frame.connection, update.start_s))
        known = self._rows.get(bucket)
        if known is not None and (known == update.row or update.row.volume < known.volume):
            return False
        self._rows[bucket] = update.row
        return (
            ended_local_ms is not None
            and exchange_ms > (update.start_s + STEP_S) * 1000 + self._grace_ms
            and frame.local_ms > ended_local_ms + self._grace_ms
        )

    def conclusion(self) -> tuple[str, Verdict]:
        over = {start_s for _, start_s in self._ended_local_ms}
        ended = sum(start_s in over for _, start_s in self._rows)
        if not ended:
            return "no bucket with trades ended: too short, or a quiet market", Verdict.UNSEEN
        seen = f"{counted(ended, 'bucket')} ended, {counted(len(self._late), 'later change')}{self._late}"
        return seen, verdict(True, not self._late)


class VolumeGrows(Assumption):
    name = "volume-grows"
    used_for = "Of two states of a bucket on one connection, the one with less volume is the older."

    def __init__(self) -> None:
        self._volumes: dict[tuple[str, Bucket], Row] = {}
        self._updates = 0
        self._falls = Problems()

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, Connected):
            self._volumes = {key: row for key, row in self._volumes.items() if key[0] != event.connection}

    def frame(self, frame: Frame) -> None:
        for product, start_s, row in frame.updates:
            self._updates += 1
            key = frame.connection, (product, start_s)
            known = self._volumes.get(key)
            if known is not None and row.volume < known.volume:
                self._falls.add(f"{shown(key[1])}: {known.volume} was followed by {row.volume}")
            else:
                self._volumes[key] = row

    def conclusion(self) -> tuple[str, Verdict]:
        seen = f"{counted(self._updates, 'update')}, {len(self._falls)} with less volume{self._falls}"
        return seen, verdict(self._updates, not self._falls)


class SnapshotHasGaps(Assumption):
    name = "snapshot-has-gaps"
    used_for = "Snapshots are never used as history. Without gaps they could be: this costs only requests."

    def __init__(self) -> None:
        self._snapshots: dict[str, tuple[int, ...]] = {}
        self._traded: dict[str, set[int]] = {}

    def frame(self, frame: Frame) -> None:
        for product in {update.product for update in frame.snapshot} - self._snapshots.keys():
            self._snapshots[product] = tuple(u.start_s for u in frame.snapshot if u.product == product)

    def response(self, response: Response) -> None:
        if (page := response.page) is not None and page.timeframe is BASE:
            self._traded.setdefault(page.product, set()).update(s for s in page.rows if page.word(s))

    def conclusion(self) -> tuple[str, Verdict]:
        missing = traded = 0
        for product, starts in self._snapshots.items():
            in_span = {s for s in self._traded.get(product, ()) if min(starts) <= s <= max(starts)}
            traded += len(in_span)
            missing += len(in_span - set(starts))
        if not traded:
            return "no snapshot and response about the same buckets: too short, or refused", Verdict.UNSEEN
        sizes = [len(starts) for starts in self._snapshots.values()]
        seen = (
            f"{missing} of {counted(traded, 'bucket')} with trades are missing; {min(sizes)} to {max(sizes)} candles, "
            f"{self._order()}"
        )
        return seen, verdict(True, missing)

    def _order(self) -> str:
        snapshots = self._snapshots.values()
        if all(list(starts) == sorted(starts, reverse=True) for starts in snapshots):
            return "newest first"
        return "oldest first" if all(list(starts) == sorted(starts) for starts in snapshots) else "in no order"
