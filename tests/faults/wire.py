"""Faults of the exchange: its links, its frames, its REST."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

from tests.faults.world import Waits, World

Strike: TypeAlias = Callable[[World, random.Random], Waits]


def wire(*faults: dict[str, Any], lasts_s: float = 0.5) -> Strike:
    """Faults of the local exchange, switched on together."""

    def strike(world: World, _: random.Random) -> Waits:
        for fault in faults:
            world.exchange.inject(**fault)
        yield max([lasts_s, *(f.get("for_seconds", 0.0) for f in faults)])

    return strike


CUT = {"fault": "reset"}
"""Makes a gap, so that REST is requested."""

GARBAGE = (
    "not_json", "not_an_object", "wrong_types", "nan", "deep_nesting", "huge_number", "five_megabytes", "binary",
    "invalid_utf8", "unknown_channel", "error_frame", "high_below_low", "misaligned", "unknown_product", "old_snapshot",
)  # fmt: skip

LINKS = {
    "closed by a deploy (1001)": wire({"fault": "close", "code": 1001}),
    "closed as if done (1000)": wire({"fault": "close", "code": 1000}),
    "connection reset": wire(CUT),
    "reset in the middle of a frame": wire({"fault": "cut_frame"}),
    "connections refused (503)": wire({"fault": "refuse_connections", "for_seconds": 8}, CUT),
    "connections cut at once": wire({"fault": "refuse_connections", "status": 0, "for_seconds": 6}, CUT),
    "half-open": wire({"fault": "half_open", "for_seconds": 12}),
    "silent socket": wire({"fault": "freeze_socket", "for_seconds": 8}),
    "candles channel silent": wire({"fault": "freeze_channel", "channel": "candles", "for_seconds": 12}),
    "heartbeats silent": wire({"fault": "freeze_channel", "channel": "heartbeats", "for_seconds": 8}),
    "one product silent": wire({"fault": "freeze_channel", "product": "BTC-USD", "for_seconds": 12}),
    "throttled to a trickle": wire({"fault": "trickle", "bytes_per_second": 400, "for_seconds": 8}),
}
FRAMES = {
    "frames dropped": wire({"fault": "drop_frames", "count": 60}, lasts_s=2),
    "frames twice": wire({"fault": "duplicate_frames", "count": 60}, lasts_s=2),
    "frames out of order": wire({"fault": "reorder_frames", "count": 60}, lasts_s=2),
    "snapshot storm": wire({"fault": "snapshot_storm", "count": 3}),
    "snapshots shuffled, with holes": wire(
        {"fault": "snapshot", "order": "shuffled", "hole_rate": 0.7, "for_seconds": 6}, CUT
    ),
    "stale update": wire({"fault": "stale_update", "product": "ETH-USD", "buckets_back": 1}),
    "server restarts, bucket counts from zero": wire({"fault": "restart_from_zero"}),
    "no last update": wire({"fault": "no_final_update", "for_seconds": 6}),
    **{f"garbage: {kind}": wire({"fault": "garbage", "kind": kind, "count": 5}) for kind in GARBAGE},
}


def _rest_short(world: World, chance: random.Random) -> Waits:
    """A few candles instead of a page, from either end of it."""
    rows, keep = chance.randint(1, 30), chance.choice(["newest", "oldest"])
    yield from wire({"fault": "rest_short", "rows": rows, "keep": keep, "for_seconds": 10}, CUT)(world, chance)


def _rest_alternates(world: World, chance: random.Random) -> Waits:
    """Two servers answer in turn; one is behind by minutes, hours or a day."""
    behind_s = chance.choice([900, 7_200, 86_400])
    yield from wire({"fault": "rest_alternate", "seconds": behind_s, "for_seconds": 15}, CUT)(world, chance)


def _rest_a_day_late(world: World, chance: random.Random) -> Waits:
    """REST is a day late during a reconciliation."""
    yield from _late(world, chance, 86_400)
    world.run("reconcile", "now")
    yield 15.0


def _rest_minutes_late(world: World, chance: random.Random) -> Waits:
    yield from _late(world, chance, 1_200)
    world.exchange.inject("reset")
    yield 15.0


def _late(world: World, chance: random.Random, seconds: float) -> Waits:
    world.exchange.inject("rest_late", seconds=seconds, shows_open=chance.random() < 0.5, for_seconds=15)
    yield chance.uniform(0.0, 3.0)


def _rest_without_one(world: World, chance: random.Random) -> Waits:
    product, lasts_s = chance.choice(["BTC-USD", "ETH-USD"]), chance.uniform(8, 20)
    yield from wire({"fault": "rest_404", "path": f"/{product}/candles", "for_seconds": lasts_s}, CUT)(world, chance)


def _rest_odd_row(world: World, chance: random.Random) -> Waits:
    """One odd row per page, among the newest ones or in the middle."""
    product, kind = (
        chance.choice(["BTC-USD", "ETH-USD"]),
        chance.choice(["zero_low", "exponent", "missing_field", "text"]),
    )
    odd = {"fault": "rest_odd_row", "product": product, "kind": kind, "bucket": chance.choice([0, 1, 1, 2, 40])}
    yield from wire({**odd, "for_seconds": chance.uniform(8, 16)}, CUT)(world, chance)


REST: dict[str, Strike] = {
    "429": wire({"fault": "rest_429", "count": 3}, CUT),
    "429 as a page, empty": wire(
        {"fault": "rest_429", "count": 1, "body": "html"}, {"fault": "rest_429", "count": 1, "body": "empty"}, CUT
    ),
    "401": wire({"fault": "rest_401", "count": 2}, CUT),
    "500": wire({"fault": "rest_500", "count": 6}, CUT),
    "502 in HTML": wire({"fault": "rest_502", "count": 6}, CUT),
    "REST hangs": wire({"fault": "rest_hang", "count": 2, "seconds": 15}, CUT),
    "REST body cut off": wire({"fault": "rest_truncated", "count": 4}, CUT),
    "REST tells another product": wire({"fault": "rest_wrong_product", "count": 1, "path": "candles"}, CUT),
    "REST is late": wire({"fault": "rest_late", "seconds": 45, "for_seconds": 12}, CUT),
    "REST's newest bucket is stale": wire({"fault": "rest_stale", "seconds": 45, "for_seconds": 12}, CUT),
    "REST short": _rest_short,
    "REST empty": wire({"fault": "rest_empty", "for_seconds": 10}, CUT),
    "REST half candles": wire({"fault": "rest_half", "for_seconds": 10}, CUT),
    "REST alternates": _rest_alternates,
    "REST 24 hours late": _rest_a_day_late,
    "REST 20 minutes late with a reset": _rest_minutes_late,
    "404 for one product": _rest_without_one,
    "odd row of one product": _rest_odd_row,
}
