"""Behaviour that the exchange's documentation leaves open, or that a test changes. Defaults are the most likely."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """Times are real time unless their name has `exchange`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    update_ms: float | None = Field(
        None,
        ge=10,
        le=60_000,
        description="Minimum time between two updates of one product; by default 1000 / speed, at least 250.",
    )
    heartbeat_ms: float = Field(1_000, ge=10, le=60_000, description="Time between two heartbeats.")
    final_update: bool = Field(True, description="Send a bucket's last state at its boundary.")
    snapshot_hole_rate: float = Field(0.38, ge=0, le=1, description="Share of the buckets that snapshots leave out.")
    snapshot_order: Literal["newest", "oldest", "shuffled"] = Field("newest", description="First candle in a snapshot.")
    snapshot_includes_open: bool = Field(True, description="Whether a snapshot has the open bucket.")
    heartbeat_text: bool = Field(False, description="Send the heartbeat counter as a string, like old samples.")
    client_id: bool = Field(False, description="Add an empty `client_id` to every frame, like older servers.")
    subscribe_deadline_s: float = Field(5.0, gt=0, le=600, description="Time to the first subscribe message.")
    deadline_code: int = Field(1008, ge=1000, le=4999, description="Close code after that; 1006: no close frame.")
    idle_s: float = Field(75.0, gt=0, le=3_600, description="Close a connection after this time without a frame.")
    messages_per_second: int = Field(8, ge=1, le=100_000, description="Messages from all connections of one address.")
    over_messages: Literal["error", "close"] = Field("error", description="Response to a message over the limit.")
    connections_per_second: int = Field(8, ge=1, le=100_000, description="New connections from one address.")
    requests_per_second: float = Field(10.0, gt=0, le=100_000, description="REST requests from one address.")
    cache_exchange_ms: int = Field(1_000, ge=0, le=3_600_000, description="Exchange time to cache a response.")
    page_buckets: int = Field(350, ge=1, le=100_000, description="Most buckets in one REST request.")
    rest_order: Literal["newest", "oldest"] = Field("newest", description="First row of a REST response.")
    end_inclusive: bool = Field(True, description="Whether REST returns the bucket that starts at `end`.")
    empty_rows: bool = Field(False, description="Whether REST has rows, without volume, of buckets without trades.")
    listing_rows: int = Field(0, ge=0, le=100_000, description="Most rows of the listing in one response; 0: all.")
    listing_offset: bool = Field(True, description="Whether the listing begins at `offset`.")
    deflate: bool = Field(True, description="Compress frames for clients that request it.")
    outbox_bytes: int = Field(64 << 20, ge=1_000, le=1 << 32, description="Queued for a slow reader; more is dropped.")

    def update_seconds(self, speed: float) -> float:
        """Real seconds between two updates of one product."""
        if self.update_ms is not None:
            return self.update_ms / 1000
        return max(0.25, 1.0 / speed) if speed > 0 else 1.0
