"""The feed without sockets: the frames of a connection, and their order."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from app.market.timeframes import Timeframe
from simulator import frames
from simulator.clock import ExchangeClock
from simulator.connection import Connection
from simulator.faults import Faults
from simulator.feed import Feed
from simulator.ledger import Ledger
from simulator.options import Options
from simulator.seeded import SeededMarket
from simulator.trade_log import TradeLog

START_S = 1_614_816_000
BTC = "BTC-USD"


class Recorder:
    """A connection that keeps the rows of each frame."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, dict[str, None]] = {}
        self.last_frame_s = float("inf")
        self.frames: list[list[dict[str, Any]]] = []

    def wants(self, channel: str, product: str) -> bool:
        return product in self.subscriptions.get(channel, ())

    def send(self, channel: str, timestamp: str, events: str, **_: Any) -> None:
        del timestamp
        if channel == "candles":
            self.frames.append([row for event in json.loads(events) for row in event["candles"]])


def test_a_snapshot_has_no_bucket_before_the_last_update_of_the_previous_one() -> None:
    """A client that closes a bucket at the first row of the next one would otherwise close it too soon."""
    clock, trade_log = ExchangeClock((START_S + 290) * 1000, 0), TradeLog(SeededMarket(3, start_s=START_S))
    feed = Feed(trade_log, clock, Options(snapshot_hole_rate=1), Faults(), Ledger(clock.now_ms))
    recorder = Recorder()
    connection = cast(Connection, recorder)
    feed.connections[1] = connection
    asyncio.run(feed.subscribe(connection, "candles", [BTC]))
    recorder.frames.clear()

    clock.set((START_S + 320) * 1000)  # the feed is late
    feed.candle_snapshots()
    feed.tick()
    rows = [row for frame in recorder.frames for row in frame]
    next_at = [int(row["start"]) for row in rows].index(START_S + 300)
    candle = trade_log.candles(BTC, Timeframe.M5, START_S, START_S + 300, clock.now_ms()).tolist()
    ((event,),) = [e["candles"] for e in json.loads(frames.candles("update", trade_log.products[BTC], candle))]
    assert rows[next_at - 1] == event


def test_a_server_that_restarts_counts_its_open_bucket_from_zero_and_the_next_one_whole() -> None:
    half_s, whole_s = START_S + 150, START_S + 300
    clock, trade_log = ExchangeClock(half_s * 1000, 0), TradeLog(SeededMarket(3, start_s=START_S))
    feed, recorder = Feed(trade_log, clock, Options(snapshot_hole_rate=0), Faults(), Ledger(clock.now_ms)), Recorder()
    feed.connections[1] = connection = cast(Connection, recorder)
    feed.count_from_zero()
    clock.set(half_s * 1000 + 90_000)
    feed.tick()
    asyncio.run(feed.subscribe(connection, "candles", [BTC]))
    ((newest, *_),) = recorder.frames
    for at_s in (whole_s, whole_s + 300):
        clock.set(at_s * 1000)
        feed.tick()
    rows = {int(row["start"]): row for frame in recorder.frames for row in frame}

    def volume(first_s: int, last_s: int) -> str:
        return trade_log.products[BTC].size(int(trade_log.trades(BTC, first_s * 1000, last_s * 1000).size.sum()))

    assert newest["volume"] == volume(half_s, half_s + 90), "the snapshot"
    assert rows[START_S]["volume"] == volume(half_s, whole_s) != volume(START_S, whole_s)
    assert rows[whole_s]["volume"] == volume(whole_s, whole_s + 300)
    assert trade_log.candles(BTC, Timeframe.M5, START_S, whole_s, clock.now_ms())["volume"][0] == int(
        trade_log.trades(BTC, START_S * 1000, whole_s * 1000).size.sum()
    ), "REST and truth know all"
