"""Assumptions about connections and their frames. Pure."""

from __future__ import annotations

from app.doctor.coinbase.assumption import Assumption
from app.doctor.coinbase.evidence import Frame
from app.doctor.finding import Problems, Verdict, counted, named, verdict
from app.exchange.adapter import Connected, Disconnected, FeedEvent, FrameRejected, ProductRefused
from app.exchange.coinbase.sequence import Order, Sequence
from app.exchange.frames import MAX_FRAME_BYTES

_FEW_HEARTBEATS = 5
_HEARTBEAT_MS = (500, 1_500)
_LONGEST_MS = 5_000
"""After this long without a heartbeat, the software reconnects."""


class ConnectionsStay(Assumption):
    name = "connections-stay"
    used_for = "Each lost connection makes the open buckets provisional, and REST must confirm them."

    def __init__(self) -> None:
        self._opened = 0
        self._lost = Problems()

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, Connected):
            self._opened += 1
        elif isinstance(event, Disconnected):
            self._lost.add(f"{event.connection}: {event.reason}")

    def conclusion(self) -> tuple[str, Verdict]:
        seen = f"{counted(self._opened, 'connection')} opened, {len(self._lost)} lost{self._lost}"
        return seen, verdict(self._opened or self._lost, not self._lost)


class SequenceDense(Assumption):
    name = "sequence-dense"
    used_for = "A missing number means lost frames; without one, the updates of a bucket are complete."

    def __init__(self) -> None:
        self._sequences: dict[str, Sequence] = {}
        self._first: set[int] = set()
        self._frames = self._misnumbered = 0

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, Connected) and event.connection in self._sequences:
            self._sequences[event.connection].restart()

    def frame(self, frame: Frame) -> None:
        if frame.envelope is None:
            return
        sequence = self._sequences.get(frame.connection)
        if sequence is None:
            self._first.add(frame.envelope.sequence_num)
            sequence = self._sequences[frame.connection] = Sequence()
        self._frames += 1
        self._misnumbered += sequence.accept(frame.envelope.sequence_num, frame.data) is Order.MISNUMBERED

    def conclusion(self) -> tuple[str, Verdict]:
        gaps = sum(s.gaps for s in self._sequences.values()) - self._misnumbered
        repeated = sum(s.duplicates for s in self._sequences.values())
        where = counted(len(self._sequences), "connection")
        seen = (
            f"{counted(self._frames, 'frame')} on {where}: {counted(gaps, 'gap')}, {repeated} repeated, "
            f"{self._misnumbered} out of order; counted from {named(map(str, sorted(self._first))) or '–'}"
        )
        return seen, verdict(self._frames, not (gaps or repeated or self._misnumbered))


class HeartbeatsEachSecond(Assumption):
    name = "heartbeats-each-second"
    used_for = "A connection without a heartbeat for 5 s is closed and opened again."

    def __init__(self) -> None:
        self._last_ms: dict[str, int] = {}
        self._intervals = self._total_ms = self._longest_ms = 0

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, Connected | Disconnected):
            self._last_ms.pop(event.connection, None)

    def frame(self, frame: Frame) -> None:
        for _ in frame.events("heartbeats"):
            before_ms = self._last_ms.get(frame.connection)
            self._last_ms[frame.connection] = frame.local_ms
            if before_ms is not None:
                self._intervals += 1
                self._total_ms += frame.local_ms - before_ms
                self._longest_ms = max(self._longest_ms, frame.local_ms - before_ms)

    def conclusion(self) -> tuple[str, Verdict]:
        if self._intervals < _FEW_HEARTBEATS:
            return f"only {counted(self._intervals, 'interval')} between heartbeats: too short", Verdict.UNSEEN
        average_ms = self._total_ms / self._intervals
        seen = (
            f"{counted(self._intervals, 'interval')}: {average_ms / 1000:.2f} s on average, "
            f"{self._longest_ms / 1000:.2f} s the longest"
        )
        return seen, verdict(
            True, _HEARTBEAT_MS[0] <= average_ms <= _HEARTBEAT_MS[1] and self._longest_ms <= _LONGEST_MS
        )


class HeartbeatsDense(Assumption):
    name = "heartbeats-dense"
    used_for = "None is lost, so silence means a dead connection and not a busy server."

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._steps = 0
        self._wrong = Problems()

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, Connected):
            self._last.pop(event.connection, None)

    def frame(self, frame: Frame) -> None:
        for event in frame.events("heartbeats"):
            counter = event.get("heartbeat_counter")
            if not str(counter).isdecimal():
                self._wrong.add("a counter that is not a number")
                continue
            before, number = self._last.get(frame.connection), int(str(counter))
            self._last[frame.connection] = number
            if before is not None:
                self._steps += 1
                if number != before + 1:
                    self._wrong.add(f"{before} was followed by {number}")

    def conclusion(self) -> tuple[str, Verdict]:
        seen = f"{counted(self._steps, 'step')} of the counter, {len(self._wrong)} not by one{self._wrong}"
        return seen, verdict(self._steps or self._wrong, not self._wrong)


class FramesReadable(Assumption):
    name = "frames-readable"
    used_for = "A frame that cannot be read is counted as lost."

    def __init__(self) -> None:
        self._frames = 0
        self._rejected = Problems()

    def frame(self, _: Frame) -> None:
        self._frames += 1

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, FrameRejected):
            self._rejected.add(event.reason)

    def conclusion(self) -> tuple[str, Verdict]:
        seen = f"{counted(self._frames, 'frame')}, {len(self._rejected)} rejected{self._rejected}"
        return seen, verdict(self._frames, not self._rejected)


class FrameSize(Assumption):
    name = "frame-size"
    used_for = f"Frames over {MAX_FRAME_BYTES >> 20} MiB close the connection; half of that is the limit here."

    def __init__(self) -> None:
        self._frames = self._bytes = self._largest = 0
        self._first_ms = self._last_ms = 0

    def frame(self, frame: Frame) -> None:
        self._first_ms = self._first_ms or frame.local_ms
        self._last_ms = frame.local_ms
        self._frames += 1
        self._bytes += len(frame.data)
        self._largest = max(self._largest, len(frame.data))

    def conclusion(self) -> tuple[str, Verdict]:
        seconds = max(1.0, (self._last_ms - self._first_ms) / 1000)
        seen = (
            f"{self._frames / seconds:.1f} frames and {self._bytes / seconds / 1000:.1f} kB per second of real time; "
            f"the largest has {counted(self._largest, 'byte')}"
        )
        return seen, verdict(self._frames, self._largest <= MAX_FRAME_BYTES // 2)


class ProductsAccepted(Assumption):
    name = "products-accepted"
    used_for = "Products that the exchange does not deliver are set apart; all others are followed."

    def __init__(self, requested: int) -> None:
        self._requested = requested
        self._listed: set[str] = set()
        self._refused: dict[str, None] = {}

    def frame(self, frame: Frame) -> None:
        for event in frame.events("subscriptions"):
            subscriptions = event.get("subscriptions")
            if isinstance(subscriptions, dict) and isinstance(listed := subscriptions.get("candles"), list):
                self._listed.update(map(str, listed))

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, ProductRefused):
            self._refused[event.product] = None

    def conclusion(self) -> tuple[str, Verdict]:
        seen = f"{self._requested} requested, {len(self._listed)} in the acknowledgements"
        if self._refused:
            seen += f"; refused: {named(self._refused)}"
        return seen, verdict(self._listed or self._refused, not self._refused)


class TradeIdsDense(Assumption):
    name = "trade-ids-dense"
    used_for = "A missing id means a lost trade: the proof of candles that are made from trades."

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], int] = {}
        self._trades = 0
        self._missing = Problems()

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, Connected):
            self._last = {key: last for key, last in self._last.items() if key[0] != event.connection}

    def frame(self, frame: Frame) -> None:
        for event in frame.events("market_trades"):
            trades = event.get("trades")
            for trade in reversed(trades) if isinstance(trades, list) else ():
                if isinstance(trade, dict) and str(number := trade.get("trade_id")).isdecimal():
                    self._trade((frame.connection, str(trade.get("product_id"))), int(str(number)))

    def _trade(self, key: tuple[str, str], number: int) -> None:
        last = self._last.get(key)
        if last is not None and number <= last:
            return
        self._trades += 1
        self._last[key] = number
        if last is not None and number > last + 1:
            self._missing.add(f"{key[1]}: {last} was followed by {number}")

    def conclusion(self) -> tuple[str, Verdict]:
        if not self._trades:
            return "no trade came: too short, or a quiet market", Verdict.UNSEEN
        products = len({product for _, product in self._last})
        seen = f"{counted(self._trades, 'trade')} of {counted(products, 'product')}"
        return f"{seen}: {counted(len(self._missing), 'gap')}{self._missing}", verdict(True, not self._missing)
