"""Faults of the WebSocket feed and of the market."""

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
    """`channel`: only frames of this channel."""

    channel: ChannelName | Literal["subscriptions"] | None = None


class DropFrames(CountedFrameFault):
    """Do not send the next frames, but use up their sequence numbers."""

    fault: Literal["drop_frames"]


class DuplicateFrames(CountedFrameFault):
    """Send the next frames twice, with the same sequence number."""

    fault: Literal["duplicate_frames"]


class ReorderFrames(CountedFrameFault):
    """Send each of the next frames after its successor."""

    fault: Literal["reorder_frames"]


class EarlyTimestamps(CountedFrameFault):
    """Send the next frames with a time `seconds` of exchange time too early."""

    fault: Literal["early_timestamps"]
    seconds: float = Field(30.0, gt=0, le=86_400)


class LoseTrades(CountedFault):
    """Leave the oldest trade out of the next updates of `market_trades`; no sequence number is missing."""

    fault: Literal["lose_trades"]


class FreezeChannel(LastingFault):
    """Send nothing on one channel, for all products or one; heartbeats and other channels continue."""

    fault: Literal["freeze_channel"]
    channel: ChannelName = "candles"
    product: str | None = None


class FreezeSocket(LastingFault):
    """Send nothing; the connection stays open and answers pings."""

    fault: Literal["freeze_socket"]


class HalfOpen(LastingFault):
    """The present connections no longer send, read or answer; they are reset when it ends."""

    fault: Literal["half_open"]


class RefuseConnections(LastingFault):
    """Answer new WebSocket connections with an HTTP status; 0 cuts the connection instead."""

    fault: Literal["refuse_connections"]
    status: int = Field(503, ge=0, le=599)


class Trickle(LastingFault):
    """Limit every connection to `bytes_per_second`."""

    fault: Literal["trickle"]
    bytes_per_second: int = Field(2_000, ge=1, le=10_000_000)


class Snapshot(LastingFault):
    """Send candle snapshots with other gaps, another order, or no open bucket."""

    fault: Literal["snapshot"]
    hole_rate: float | None = Field(None, ge=0, le=1)
    order: Literal["newest", "oldest", "shuffled"] | None = None
    includes_open: bool | None = None


class HeartbeatText(LastingFault):
    """Send the heartbeat counter as a string."""

    fault: Literal["heartbeat_text"]


class HeartbeatJump(LastingFault):
    """Raise the heartbeat counter by two each time."""

    fault: Literal["heartbeat_jump"]


class ClientId(LastingFault):
    """Add an empty `client_id` to every frame."""

    fault: Literal["client_id"]


class NoFinalUpdate(LastingFault):
    """Do not send a bucket's last state at its boundary."""

    fault: Literal["no_final_update"]


class Close(Act):
    """Close every connection with a code; 1006 cuts it without a close frame."""

    fault: Literal["close"]
    code: int = Field(1001, ge=1000, le=4999)
    reason: str = Field("", max_length=120)


class Reset(Act):
    """Reset the TCP connection of every WebSocket."""

    fault: Literal["reset"]


class CutFrame(Act):
    """Begin a frame on every WebSocket, and cut the connection in the middle of it."""

    fault: Literal["cut_frame"]


class RestartFromZero(Act):
    """The server restarts: every connection is closed (1001), and the stream counts the open bucket from zero.

    Its updates and snapshots include only the trades since the restart. REST and truth include all.
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
    """Send an early state of a bucket again: of the open one (0), or `buckets_back` before it."""

    fault: Literal["stale_update"]
    product: str
    buckets_back: int = Field(1, ge=0, le=100)


class Revise(Act):
    """A late trade changes a 5m bucket that is over, for the stream, REST and truth.

    `start`: UNIX seconds. `price`: units of the product's price increment (default: 2 % above the high).
    """

    fault: Literal["revise"]
    product: str
    start: int = Field(gt=0)
    price: int | None = Field(None, gt=0, lt=2**53)
    announce: bool = True


class ListProduct(Act):
    """List a product: it trades from now on."""

    fault: Literal["list_product"]
    product: str


class DelistProduct(Act):
    """Delist a product: it stops trading now. `gone`: REST also returns 404 for its candles."""

    fault: Literal["delist_product"]
    product: str
    gone: bool = False
