"""Faults of the WebSocket feed, and of the market itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from simulator.fault import Act, CountedFault, LastingFault

ChannelName = Literal["candles", "heartbeats", "market_trades", "ticker", "ticker_batch", "status", "level2"]
GarbageKind = Literal[
    "not_json", "not_an_object", "wrong_types", "nan", "deep_nesting", "huge_number", "five_megabytes", "binary",
    "invalid_utf8", "unknown_channel", "error_frame", "high_below_low", "misaligned", "unknown_product", "old_snapshot",
]  # fmt: skip


class CountedFrameFault(CountedFault):
    """`channel`: frames of this one only."""

    channel: ChannelName | Literal["subscriptions"] | None = None


class DropFrames(CountedFrameFault):
    """Do not send the next frames, but count their sequence numbers."""

    fault: Literal["drop_frames"]


class DuplicateFrames(CountedFrameFault):
    """Send the next frames twice, with the same sequence number."""

    fault: Literal["duplicate_frames"]


class ReorderFrames(CountedFrameFault):
    """Send each of the next frames after the one that follows it."""

    fault: Literal["reorder_frames"]


class FreezeChannel(LastingFault):
    """One channel falls silent, for all products or one; heartbeats and the others live on."""

    fault: Literal["freeze_channel"]
    channel: ChannelName = "candles"
    product: str | None = None


class FreezeSocket(LastingFault):
    """Nothing is sent any more; the connection stays open and answers pings."""

    fault: Literal["freeze_socket"]


class HalfOpen(LastingFault):
    """The present connections neither send nor read nor answer any more; they are reset when it ends."""

    fault: Literal["half_open"]


class RefuseConnections(LastingFault):
    """New WebSocket connections are answered with an HTTP status; 0 cuts the line instead."""

    fault: Literal["refuse_connections"]
    status: int = Field(503, ge=0, le=599)


class Trickle(LastingFault):
    """Every connection carries no more than so many bytes a second."""

    fault: Literal["trickle"]
    bytes_per_second: int = Field(2_000, ge=1, le=10_000_000)


class Snapshot(LastingFault):
    """Snapshots of candles have other holes, another order, or no open bucket."""

    fault: Literal["snapshot"]
    hole_rate: float | None = Field(None, ge=0, le=1)
    order: Literal["newest", "oldest", "shuffled"] | None = None
    includes_open: bool | None = None


class HeartbeatText(LastingFault):
    """The heartbeat counter is a string."""

    fault: Literal["heartbeat_text"]


class ClientId(LastingFault):
    """Every frame has an empty `client_id`."""

    fault: Literal["client_id"]


class NoFinalUpdate(LastingFault):
    """A bucket's last state is not sent at its boundary."""

    fault: Literal["no_final_update"]


class Close(Act):
    """Close every connection with a code; 1006 cuts the line without a close frame."""

    fault: Literal["close"]
    code: int = Field(1001, ge=1000, le=4999)
    reason: str = Field("", max_length=120)


class Reset(Act):
    """Reset the TCP connection of every WebSocket."""

    fault: Literal["reset"]


class CutFrame(Act):
    """Begin a frame on every WebSocket, and end the line in the middle of it."""

    fault: Literal["cut_frame"]


class RestartFromZero(Act):
    """The server restarts: every connection is closed (1001), and the stream counts the open bucket from zero.

    Its updates and snapshots hold only the trades since the restart. REST and truth know all of them.
    """

    fault: Literal["restart_from_zero"]


class Garbage(Act):
    """Send frames that no client expects."""

    fault: Literal["garbage"]
    kind: GarbageKind = "not_json"
    count: int = Field(1, ge=1, le=1_000)


class SnapshotStorm(Act):
    """Send the candle snapshots of every subscribed product again, `count` times."""

    fault: Literal["snapshot_storm"]
    count: int = Field(1, ge=1, le=20)


class StaleUpdate(Act):
    """Send an early state of a bucket again: of the open one (0), or of one that many buckets back."""

    fault: Literal["stale_update"]
    product: str
    buckets_back: int = Field(1, ge=0, le=100)


class Revise(Act):
    """A late trade changes a 5m bucket that is over, for the stream, REST and truth alike.

    `start`: UNIX seconds. `price`: units of the product's price increment (default: 2 % above the high).
    """

    fault: Literal["revise"]
    product: str
    start: int = Field(gt=0)
    price: int | None = Field(None, gt=0, lt=2**53)
    announce: bool = True


class ListProduct(Act):
    """A product that was not listed trades from now on."""

    fault: Literal["list_product"]
    product: str


class DelistProduct(Act):
    """A product ends trading now. `gone`: REST answers 404 for its candles, too."""

    fault: Literal["delist_product"]
    product: str
    gone: bool = False
