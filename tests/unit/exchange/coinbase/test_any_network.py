"""The promise, on any network.

If frames are lost, doubled, swapped or damaged on the way, a closed candle is still the state of its bucket when the
exchange wrote the newest frame that arrived, and no bucket is left out. A bucket that was open across a break of the
connection is provisional.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from app.exchange.adapter import CandleClosed, FeedEvent, GapSuspected
from tests.unit.exchange.coinbase.venue import BTC, ETH, STEP, T, Venue, row

State = tuple[float, float]
"""Volume and close of a bucket."""


@dataclass
class Market:
    """The truth. `history` holds the state of all buckets at each frame that the exchange wrote."""

    venue: Venue
    buckets: dict[tuple[str, int], State] = field(default_factory=dict)
    history: list[dict[tuple[str, int], State]] = field(default_factory=list)

    def trade(self, product: str, price: int, late: bool) -> dict[str, object]:
        start = int(self.venue.time_s // STEP * STEP) - (STEP if late else 0)
        volume, _ = self.buckets.get((product, start), (0, 0))
        self.buckets[product, start] = (volume + 1, price)
        return row(start, volume + 1, price, product)

    def write(self, channel: str, events: list[object]) -> tuple[int, str]:
        """A frame and its place in the history."""
        self.history.append(dict(self.buckets))
        return len(self.history) - 1, json.dumps(self.venue.envelope(channel, events))


def through(network: str, frames: list[tuple[int, str]]) -> Iterator[tuple[int, str | bytes]]:
    """The frames of one moment as they arrive."""
    if network == "swapped":
        frames = frames[::-1]
    for at, frame in frames:
        if network == "lost":
            continue
        yield at, frame[: len(frame) // 2] if network == "cut" else frame
        if network == "doubled":
            yield at, frame
        if network == "noisy":
            yield at, b"\x00noise"


steps = st.tuples(
    st.sampled_from(["trade", "trade", "trade", "late trade", "beat", "snapshot", "unseen trade", "reconnect"]),
    st.sampled_from([BTC, ETH]),
    st.integers(95, 105),
    st.sampled_from([0.1, 1, 20, 90, 200]),
    st.sampled_from(["fine", "fine", "fine", "fine", "lost", "doubled", "swapped", "cut", "noisy"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(steps, max_size=60))
def test_a_close_is_always_the_last_state_and_no_bucket_is_left_out(
    script: list[tuple[str, str, int, float, str]],
) -> None:
    venue = Venue(BTC, ETH)
    market = Market(venue)
    seen: dict[tuple[str, int], str] = {}
    broken = {T}
    newest = 0

    def check(events: list[FeedEvent]) -> None:
        for event in events:
            if isinstance(event, CandleClosed):
                candle = event.candle
                truth = market.history[newest][candle.product, candle.start_s]
                assert (candle.volume, candle.close) == truth
                assert event.provisional or candle.start_s not in broken
                seen[candle.product, candle.start_s] = "closed"
            elif isinstance(event, GapSuspected):
                for start in range(event.first_s, event.last_s + STEP, STEP):
                    known = seen.get((event.product, start))
                    assert known is None if event.settled_only else known != "missing", "nothing is suspected twice"
                    seen[event.product, start] = "silent" if event.settled_only else "missing"

    def arrive(network: str, frames: list[tuple[int, str]]) -> None:
        nonlocal newest
        for at, data in through(network, frames):
            newest = max(newest, at)
            check(venue.deliver(data))

    def break_off() -> None:
        check(venue.close())
        broken.add(int(venue.time_s // STEP * STEP))

    def acknowledge() -> list[tuple[int, str]]:
        return [market.write("subscriptions", [{"subscriptions": {"candles": [BTC, ETH]}}])]

    arrive("fine", acknowledge())
    for what, product, price, wait_s, network in script:
        venue.time_s += wait_s
        frames = []
        if what == "reconnect":
            break_off()
            market.trade(product, price, late=False)
            venue.open()
            frames += acknowledge()
        elif what == "unseen trade":
            break_off()
            market.trade(product, price, late=False)
            venue.open()
        elif what == "snapshot":
            candles = [row(s, v, c, p) for (p, s), (v, c) in market.buckets.items()]
            frames.append(market.write("candles", [{"type": "snapshot", "candles": candles}]))
        elif "trade" in what:
            candle = market.trade(product, price, late=what == "late trade")
            frames.append(market.write("candles", [{"type": "update", "candles": [candle]}]))
        frames.append(market.write("heartbeats", [{"heartbeat_counter": 1}]))
        arrive(network, frames)

    last_s = int(venue.time_s // STEP * STEP)
    for _ in range(4):
        venue.time_s = max(venue.time_s + 1, last_s + STEP + 3)
        arrive("fine", [market.write("heartbeats", [{"heartbeat_counter": 1}])])
    for product in (BTC, ETH):
        assert [s for s in range(T, last_s + STEP, STEP) if (product, s) not in seen] == []
