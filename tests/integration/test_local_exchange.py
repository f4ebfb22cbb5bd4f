"""The local exchange over real sockets: the captured protocol, and every fault."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket

from app.errors import InvalidInput
from app.exchange.wire_time import parse_ms
from app.market.timeframes import Timeframe
from simulator import LocalExchange, SeededMarket
from tests import plain
from tests.support import PATIENCE_S, Process, eventually, free_port

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=1.05)]

START_S = 1_614_816_000
MARKET = SeededMarket(7, start_s=START_S)
API = "/api/v3/brokerage"
Frame = dict[str, Any]


@contextmanager
def running(*, speed: float = 60.0, after_s: float = 3_600, **options: Any) -> Iterator[LocalExchange]:
    """An exchange at `after_s` exchange seconds after its opening, without limits unless `options` set some."""
    free = {"messages_per_second": 10_000, "connections_per_second": 10_000, "requests_per_second": 10_000}
    start_ms = int((START_S + after_s) * 1000)
    with LocalExchange(MARKET, speed=speed, start_ms=start_ms, **free | options) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalExchange]:
    with running(heartbeat_ms=200, update_ms=100) as exchange:
        yield exchange


@pytest.fixture
def exchange(shared: LocalExchange) -> Iterator[LocalExchange]:
    """One exchange for all tests that leave only faults behind."""
    yield shared
    shared.clear()


class Client:
    """A bare WebSocket client that keeps received frames."""

    def __init__(self, exchange: LocalExchange) -> None:
        self.ws = websocket.create_connection(exchange.ws_url, timeout=PATIENCE_S, skip_utf8_validation=True)
        self.ws.settimeout(0.5)
        self.texts: list[str] = []
        self.frames: list[Frame] = []
        self.closed: int | None = None
        """Close code; 1006 without a close frame."""

    def send(self, kind: str, channel: str, *products: str, **more: object) -> None:
        self.ws.send(json.dumps({"type": kind, "channel": channel, "product_ids": products, **more}))

    def subscribe(self, channel: str, *products: str, **more: object) -> Frame:
        """Subscribe and return the acknowledgement."""
        before = len(self.of("subscriptions"))
        self.send("subscribe", channel, *products, **more)
        acknowledged: list[Frame] = self.until(lambda: self.of("subscriptions")[before:])
        return acknowledged[0]

    def of(self, channel: str, kind: str | None = None) -> list[Frame]:
        found = [f for f in self.frames if f.get("channel") == channel]
        return found if kind is None else [f for f in found if f["events"][0].get("type") == kind]

    def until(self, condition: Callable[[], Any]) -> Any:
        """Receive until `condition` is true; returns its value."""
        end = time.monotonic() + PATIENCE_S
        while not (value := condition()):
            assert time.monotonic() < end, f"never; received {self.texts[-3:]}, closed {self.closed}"
            self.receive()
        return value

    def leave(self) -> None:
        """Close the connection without a close frame."""
        self.ws.shutdown()  # type: ignore[no-untyped-call]

    def receive(self) -> None:
        """Receive one frame, if one comes soon."""
        if self.closed is not None:
            return
        try:
            opcode, data = self.ws.recv_data()
        except TimeoutError:
            return
        except websocket.WebSocketTimeoutException:
            return
        except (websocket.WebSocketException, OSError):
            self.closed = 1006
            return
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            self.closed = int.from_bytes(data[:2], "big")
            return
        text = data.decode(errors="replace")
        self.texts.append(text)
        with suppress(ValueError, RecursionError):
            frame = json.loads(text)
            if isinstance(frame, dict):
                self.frames.append(frame)

    def sequences(self) -> list[int]:
        return [f["sequence_num"] for f in self.frames if isinstance(f.get("sequence_num"), int)]

    def candles(self, product: str, kind: str = "update") -> list[dict[str, str]]:
        rows = [c for f in self.of("candles", kind) for c in f["events"][0]["candles"]]
        return [c for c in rows if c["product_id"] == product]


@pytest.fixture
def client(exchange: LocalExchange) -> Iterator[Client]:
    with connected(exchange) as client:
        yield client


@contextmanager
def connected(exchange: LocalExchange) -> Iterator[Client]:
    before, newest = exchange.connections, newest_connection(exchange)
    client = Client(exchange)
    eventually(lambda: newest_connection(exchange) > newest)  # the count may fall: an earlier client has just left
    try:
        yield client
    finally:
        client.leave()
    eventually(lambda: exchange.connections <= before)


def newest_connection(exchange: LocalExchange) -> int:
    """Its number, or 0."""
    return max((event.connection for event in exchange.ledger().sockets), default=0)


def open_and_leave(exchange: LocalExchange, times: int = 1) -> bool:
    for _ in range(times):
        Client(exchange).leave()
    return True


# --- WebSocket


def test_snapshots_come_before_the_acknowledgement_and_acknowledgements_add_up(client: Client) -> None:
    client.subscribe("candles", "BTC-USDC", "ETH-USD", "NOPE-USD", "REN-USD", "ETH-USD")
    client.subscribe("heartbeats")
    sent = [f["channel"] for f in client.frames if f["channel"] != "heartbeats" and "update" not in json.dumps(f)]
    assert sent == ["candles", "candles", "subscriptions", "subscriptions"], "a heartbeat may come between any of them"
    first, second = client.of("subscriptions")
    assert first["events"] == [{"subscriptions": {"candles": ["BTC-USD", "ETH-USD"]}}]
    assert second["events"] == [{"subscriptions": {"candles": ["BTC-USD", "ETH-USD"], "heartbeats": ["heartbeats"]}}]
    client.until(lambda: len(client.of("heartbeats")) == 2 and client.candles("BTC-USD"))
    assert client.sequences() == list(range(len(client.frames)))
    assert set(client.frames[0]) == {"channel", "timestamp", "sequence_num", "events"}


def test_a_snapshot_has_gaps_the_open_bucket_and_the_newest_first(client: Client, exchange: LocalExchange) -> None:
    open_s = Timeframe.M5.bucket(exchange.clock.now_ms() / 1000)
    client.subscribe("candles", "BTC-USD")
    starts = [int(c["start"]) for c in client.candles("BTC-USD", "snapshot")]
    assert len(starts) == 100
    assert starts == sorted(starts, reverse=True)
    assert starts[0] >= open_s - 900
    assert starts[0] - starts[-1] > 99 * 300


def test_every_closed_candle_was_sent_as_in_the_truth() -> None:
    with running(speed=600) as exchange, connected(exchange) as client:
        client.subscribe("candles", "BTC-USD", "ETH-USD", "MLN-USD")
        begun_s = Timeframe.M5.bucket(exchange.clock.now_ms() / 1000) + 300
        client.until(lambda: exchange.clock.now_ms() / 1000 > begun_s + 8 * 300)
        ended_s = begun_s + 7 * 300
        for product in ("BTC-USD", "ETH-USD", "MLN-USD"):
            last = {c["start"]: c for c in client.candles(product)}
            sent = [last[start] for start in last if begun_s <= int(start) < ended_s]
            truth = exchange.truth(product, Timeframe.M5, begun_s, ended_s)
            assert sent == [{**candle, "product_id": product} for candle in truth]


def test_the_last_state_of_a_bucket_comes_at_its_boundary() -> None:
    with (
        running(speed=5, after_s=3_890, update_ms=60_000, heartbeat_ms=60_000) as exchange,
        connected(exchange) as client,
    ):
        client.subscribe("candles", "BTC-USD")
        [update] = client.until(lambda: client.of("candles", "update"))
        candle = update["events"][0]["candles"][0]
        end_s = int(candle["start"]) + 300
        assert end_s <= parse_ms(update["timestamp"]) / 1000 < end_s + 280, "the next regular one would be later"
        assert exchange.truth("BTC-USD", Timeframe.M5, end_s - 300, end_s)[0]["close"] == candle["close"]


def test_heartbeats_count_seconds_and_carry_the_exchanges_time() -> None:
    with running() as exchange, connected(exchange) as client:
        begun = time.monotonic()
        client.subscribe("heartbeats")
        beats = client.until(lambda: client.of("heartbeats") if len(client.of("heartbeats")) == 3 else None)
        assert time.monotonic() - begun > 1.9
    counters = [beat["events"][0]["heartbeat_counter"] for beat in beats]
    assert [b - a for a, b in pairwise(counters)] == [1, 1]
    assert beats[0]["events"][0]["current_time"].startswith("2021-03-04 ")
    assert " +0000 UTC m=+" in beats[0]["events"][0]["current_time"]


def test_trades_continue_exactly_after_their_snapshot(client: Client) -> None:
    client.subscribe("market_trades", "BTC-USD", "ETH-USD")
    client.until(lambda: len(client.of("market_trades", "update")) >= 8)
    for product in ("BTC-USD", "ETH-USD"):
        frames = [f["events"][0]["trades"] for f in client.of("market_trades")]
        ids = [int(t["trade_id"]) for trades in frames for t in reversed(trades) if t["product_id"] == product]
        assert ids == list(range(ids[0], ids[0] + len(ids)))
        assert len(ids) > 100


@pytest.mark.parametrize("channel", ["ticker", "ticker_batch", "status", "level2"])
def test_the_other_channels_have_a_snapshot_and_an_acknowledgement(client: Client, channel: str) -> None:
    ack = client.subscribe(channel, "BTC-USD")
    assert ack["events"][0]["subscriptions"] == {channel: ["BTC-USD"]}
    [snapshot] = client.of("l2_data" if channel == "level2" else channel, "snapshot")
    assert "BTC-USD" in json.dumps(snapshot)
    if channel in ("ticker", "level2"):
        client.until(lambda: client.of("l2_data" if channel == "level2" else channel, "update"))


def test_level2_ends_at_thirty_products(client: Client, exchange: LocalExchange) -> None:
    client.subscribe("level2", *[p for p in exchange.trade_log.products if p not in ("REN-USD", "TIA-USD", "RARI-USD")])
    assert len(client.of("subscriptions")[0]["events"][0]["subscriptions"]["level2"]) == 30
    assert {"type": "error", "message": "too many L2 streams requested in a single session"} in client.frames


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ('{"type":"subscribe","channel":"weather","product_ids":["BTC-USD"]}', "authentication failure"),
        ('{"type":"subscribe","channel":"user"}', "authentication failure"),
        ('{"type":"subscribe","channel":"candles","product_ids":["BTC-USD"],"jwt":"bogus"}', "authentication failure"),
        ('{"type":"subscribe","channel":"candles","jwt":"e30.e30.x"}', "authentication failure"),
        ("{", "failure to subscribe"),
        ("[]", "failure to subscribe"),
        ('{"type":"shout","channel":"candles"}', "failure to subscribe"),
        ('{"type":"subscribe","channel":"candles","product_ids":"BTC-USD"}', "failure to subscribe"),
    ],
)
def test_a_wrong_message_is_answered_with_an_error_and_the_socket_stays(
    client: Client, message: str, answer: str
) -> None:
    client.ws.send(message)
    assert client.until(lambda: client.frames)[0] == {"type": "error", "message": answer}
    client.subscribe("heartbeats")


def test_unsubscribing_stops_products_or_the_whole_channel(client: Client) -> None:
    client.subscribe("candles", "BTC-USD", "ETH-USD")
    client.subscribe("heartbeats")
    client.send("unsubscribe", "candles", "BTC-USDC")
    client.until(lambda: len(client.of("subscriptions")) == 3)
    assert client.frames[-1]["events"][0]["subscriptions"] == {"candles": ["ETH-USD"], "heartbeats": ["heartbeats"]}
    client.send("unsubscribe", "candles")
    client.until(lambda: len(client.of("subscriptions")) == 4)
    assert client.frames[-1]["events"][0]["subscriptions"] == {"heartbeats": ["heartbeats"]}
    sent = len(client.of("candles"))
    client.until(lambda: len(client.of("heartbeats")) >= 3)
    assert len(client.of("candles")) == sent


def test_a_client_without_subscription_is_disconnected_in_time() -> None:
    with running(subscribe_deadline_s=0.2, deadline_code=1008) as exchange, connected(exchange) as client:
        client.until(lambda: client.closed)
        assert client.closed == 1008


def test_a_connection_without_any_frame_is_dropped_and_heartbeats_keep_it() -> None:
    with running(idle_s=2, heartbeat_ms=100, update_ms=100) as exchange, connected(exchange) as silent:
        silent.subscribe("candles", "RARI-USD")
        with closing(Client(exchange).ws) as beating:
            beating.send('{"type":"subscribe","channel":"heartbeats"}')
            silent.until(lambda: silent.closed)
            assert silent.closed == 1006
            eventually(lambda: exchange.connections == 1)


@pytest.mark.parametrize("over", ["error", "close"])
def test_messages_and_connections_are_limited(over: str) -> None:
    with running(messages_per_second=1, connections_per_second=1, over_messages=over) as exchange:
        with connected(exchange) as client:
            for _ in range(5):
                client.send("subscribe", "heartbeats")
            if over == "close":
                client.until(lambda: client.closed == 1008)
            else:
                client.until(lambda: {"type": "error", "message": "rate limit exceeded"} in client.frames)
        with pytest.raises(websocket.WebSocketBadStatusException, match="429"):
            open_and_leave(exchange, 10)


def test_frames_are_compressed_on_request(exchange: LocalExchange) -> None:
    headers = ["Sec-WebSocket-Extensions: permessage-deflate"]
    with closing(websocket.create_connection(exchange.ws_url, header=headers)) as ws:
        assert "permessage-deflate" in ws.headers["sec-websocket-extensions"]
    with running(deflate=False) as plain, closing(websocket.create_connection(plain.ws_url, header=headers)) as ws:
        assert "sec-websocket-extensions" not in ws.headers


def test_a_slow_reader_loses_frames_and_delays_no_other() -> None:
    with (
        running(outbox_bytes=8_000_000, update_ms=50) as exchange,  # one frame, and those until it is read
        connected(exchange) as slow,
        connected(exchange) as quick,
    ):
        for client in (slow, quick):
            client.subscribe("candles", "BTC-USD", "ETH-USD", "SOL-USD")
        for _ in range(5):  # more than the socket and the queue hold
            sent = len(quick.texts)
            exchange.inject("garbage", kind="five_megabytes")
            quick.until(partial(lambda n: any("unheard_of" in text for text in quick.texts[n:]), sent))
        quick.until(lambda: exchange.ledger().frames_dropped >= 3)
        seen = len(quick.of("candles", "update"))
        quick.until(lambda: len(quick.of("candles", "update")) > seen)
        slow.until(lambda: max(steps(slow.sequences())) > 1)
        assert slow.sequences() == sorted(set(slow.sequences()))
        assert quick.sequences() == list(range(len(quick.sequences())))


# --- faults of the feed


def steps(numbers: list[int]) -> list[int]:
    return [b - a for a, b in pairwise(numbers)]


def test_dropped_frames_leave_a_gap_in_the_sequence(client: Client, exchange: LocalExchange) -> None:
    client.subscribe("candles", "BTC-USD", "ETH-USD")
    exchange.inject("drop_frames", count=2, channel="candles")
    before = len(client.sequences())
    client.until(lambda: len(client.sequences()) > before and 3 in steps(client.sequences()))
    assert exchange.ledger().frames_dropped >= 2


def test_frames_can_come_twice_or_in_another_order(client: Client, exchange: LocalExchange) -> None:
    client.subscribe("candles", "BTC-USD", "ETH-USD")
    exchange.inject("duplicate_frames")
    client.until(lambda: len(client.sequences()) > len(set(client.sequences())))
    exchange.inject("reorder_frames")
    client.until(lambda: client.sequences() != sorted(client.sequences()))
    assert set(client.sequences()) == set(range(max(client.sequences()) + 1))


def test_one_channel_can_freeze_while_heartbeats_continue(client: Client, exchange: LocalExchange) -> None:
    client.subscribe("candles", "BTC-USD", "ETH-USD")
    client.subscribe("heartbeats")
    exchange.inject("freeze_channel", channel="candles")
    sent = len(client.of("heartbeats"))
    client.until(lambda: len(client.of("heartbeats")) == sent + 1)
    candles = len(client.of("candles"))
    client.until(lambda: len(client.of("heartbeats")) == sent + 3)
    assert len(client.of("candles")) == candles
    exchange.clear()
    client.until(lambda: len(client.of("candles")) > candles)
    assert client.sequences() == list(range(len(client.frames)))


def test_a_silent_socket_still_answers_pings_and_a_half_open_one_does_not(exchange: LocalExchange) -> None:
    for fault, answered in (("freeze_socket", True), ("half_open", False)):
        with connected(exchange) as client:
            client.subscribe("heartbeats")
            exchange.inject(fault)
            client.ws.settimeout(PATIENCE_S if answered else 0.7)
            client.ws.ping()
            seen = []
            with suppress(websocket.WebSocketTimeoutException):
                while websocket.ABNF.OPCODE_PONG not in seen:
                    seen.append(client.ws.recv_data(control_frame=True)[0])
            assert (websocket.ABNF.OPCODE_PONG in seen) is answered
            assert client.closed is None
            exchange.clear()
            if not answered:
                client.until(lambda: client.closed)


@pytest.mark.parametrize("code", [1000, 1001, 1006])
def test_connections_can_be_closed_with_any_code(client: Client, exchange: LocalExchange, code: int) -> None:
    client.subscribe("heartbeats")
    closing_it = threading.Thread(target=exchange.inject, args=("close",), kwargs={"code": code})
    closing_it.start()
    client.until(lambda: client.closed)
    client.leave()
    closing_it.join()
    assert client.closed == code


def test_connections_can_be_reset(client: Client, exchange: LocalExchange) -> None:
    client.subscribe("heartbeats")
    exchange.inject("reset")
    line = client.ws.sock
    assert line is not None
    line.settimeout(PATIENCE_S)
    with pytest.raises(ConnectionResetError):
        deque(iter(lambda: line.recv(4_096), b""), maxlen=0)  # would end without an error at an ordinary close


def test_a_line_can_end_in_the_middle_of_a_frame(client: Client, exchange: LocalExchange) -> None:
    client.subscribe("heartbeats")
    exchange.inject("cut_frame")
    line = client.ws.sock
    assert line is not None
    line.settimeout(PATIENCE_S)
    received = b"".join(iter(lambda: line.recv(4_096), b""))
    begun = received.rfind(b"\x81\x7e\x10\x00")
    assert begun >= 0, "a frame of 4,096 bytes was announced"
    assert 4 < len(received) - begun < 4_096


def test_a_line_can_be_throttled_to_a_trickle(exchange: LocalExchange) -> None:
    with connected(exchange) as client:
        client.subscribe("heartbeats")
        exchange.inject("trickle", bytes_per_second=50_000)
        began, seen = time.monotonic(), len("".join(client.texts))
        client.subscribe("candles", *"BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD")
        client.until(lambda: len("".join(client.texts)) - seen > 30_000)
        assert time.monotonic() - began > 0.5


def test_new_connections_can_be_refused(exchange: LocalExchange) -> None:
    exchange.inject("refuse_connections", status=503)
    with pytest.raises(websocket.WebSocketBadStatusException, match="503"):
        websocket.create_connection(exchange.ws_url)
    exchange.clear()
    exchange.inject("refuse_connections", status=0)
    with pytest.raises((websocket.WebSocketException, OSError)):
        websocket.create_connection(exchange.ws_url)
    exchange.clear()
    exchange.inject("refuse_connections", for_seconds=0.3)
    eventually(lambda: open_and_leave(exchange))


@pytest.mark.parametrize(
    ("kind", "sign"),
    [
        ("not_json", "<html>"),
        ("not_an_object", '["candles",42'),
        ("wrong_types", '"sequence_num":"one"'),
        ("nan", '"NaN"'),
        ("deep_nesting", "[[[["),
        ("huge_number", "99999999"),
        ("five_megabytes", "unheard_of"),
        ("binary", "\x01\x02"),
        ("invalid_utf8", "\ufffd"),
        ("unknown_channel", "futures_weather"),
        ("error_frame", "failure to subscribe"),
        ("high_below_low", '"high":"9","low":"11"'),
        ("misaligned", '07","open":"10"'),
        ("unknown_product", "NOSUCH-USD"),
        ("old_snapshot", '"open":"10"'),
    ],
)
def test_garbage_is_sent_and_the_feed_continues(exchange: LocalExchange, kind: str, sign: str) -> None:
    with connected(exchange) as client:
        client.subscribe("candles", "BTC-USD")
        exchange.inject("garbage", kind=kind)
        if kind == "misaligned":
            client.until(lambda: any(int(c["start"]) % 300 == 7 for c in client.candles("BTC-USD")))
        else:
            client.until(lambda: any(sign in text for text in client.texts))
        client.subscribe("heartbeats")
        assert client.closed is None


def test_snapshots_can_storm_and_change_their_order(client: Client, exchange: LocalExchange) -> None:
    exchange.inject("snapshot", hole_rate=0, order="oldest", includes_open=False)
    client.subscribe("candles", "BTC-USD")
    starts = [int(c["start"]) for c in client.candles("BTC-USD", "snapshot")]
    assert starts == list(range(starts[0], starts[0] + 100 * 300, 300))
    assert starts[-1] + 300 <= exchange.clock.now_ms() / 1000
    exchange.inject("snapshot_storm", count=3)
    client.until(lambda: len(client.of("candles", "snapshot")) == 4)
    exchange.inject("snapshot", order="shuffled")
    exchange.inject("snapshot_storm")
    client.until(lambda: len(client.of("candles", "snapshot")) == 5)
    shuffled = [int(c["start"]) for c in client.of("candles", "snapshot")[-1]["events"][0]["candles"]]
    assert shuffled not in (sorted(shuffled), sorted(shuffled, reverse=True))


def test_old_formats_can_be_sent(client: Client, exchange: LocalExchange) -> None:
    exchange.inject("heartbeat_text")
    exchange.inject("client_id")
    client.subscribe("heartbeats")
    beat = client.until(lambda: client.of("heartbeats"))[0]
    assert isinstance(beat["events"][0]["heartbeat_counter"], str)
    assert beat["client_id"] == ""


def test_a_revision_reaches_stream_rest_and_truth(client: Client, exchange: LocalExchange) -> None:
    client.subscribe("candles", "BTC-USD")
    start = Timeframe.M5.bucket(exchange.clock.now_ms() / 1000) - 900
    [before] = exchange.truth("BTC-USD", Timeframe.M5, start, start + 300)
    exchange.inject("revise", product="BTC-USD", start=start)
    [after] = exchange.truth("BTC-USD", Timeframe.M5, start, start + 300)
    assert float(after["high"]) > float(before["high"])
    sent = client.until(lambda: [c for c in client.candles("BTC-USD") if c["start"] == str(start)])
    assert sent == [{**after, "product_id": "BTC-USD"}]
    [row] = candles(exchange, "FIVE_MINUTE", start, start)
    assert row == after
    hour = Timeframe.H1.bucket(start)
    assert float(candles(exchange, "ONE_HOUR", hour, hour)[0]["high"]) >= float(after["high"])


def test_a_stale_update_repeats_an_early_state() -> None:
    with running(speed=0) as exchange, connected(exchange) as client:
        client.subscribe("candles", "BTC-USD")
        exchange.inject("stale_update", product="BTC-USD", buckets_back=2)
        old = Timeframe.M5.bucket(exchange.clock.now_ms() / 1000) - 600
        [stale] = client.until(lambda: [c for c in client.candles("BTC-USD") if int(c["start"]) == old])
        assert stale["high"] == stale["low"]


def test_the_final_update_can_be_left_out() -> None:
    with running(after_s=3_890, update_ms=60_000) as exchange, connected(exchange) as client:
        exchange.inject("no_final_update")
        client.subscribe("candles", "BTC-USD")
        client.subscribe("heartbeats")
        client.until(lambda: exchange.clock.now_ms() / 1000 > START_S + 3_900 + 60)
        assert not [c for c in client.candles("BTC-USD") if c["start"] == str(START_S + 3_600)]


def test_products_can_be_listed_and_delisted() -> None:
    with running() as exchange, connected(exchange) as client:
        assert client.subscribe("candles", "TIA-USD")["events"] == [{"subscriptions": {}}]
        exchange.inject("list_product", product="TIA-USD")
        client.subscribe("candles", "TIA-USD", "ETH-USD")
        client.until(lambda: client.candles("TIA-USD"))
        exchange.inject("delist_product", product="TIA-USD")
        client.subscribe("heartbeats")  # whatever was sent before has arrived now
        sent = len(client.candles("TIA-USD"))
        seen = len(client.candles("ETH-USD"))
        client.until(lambda: len(client.candles("ETH-USD")) > seen + 5)
        assert len(client.candles("TIA-USD")) == sent
        row = get(exchange, f"{API}/market/products/TIA-USD").json()
        assert (row["status"], row["trading_disabled"]) == ("delisted", True)


def test_an_unknown_fault_is_refused_with_the_known_ones(exchange: LocalExchange) -> None:
    with pytest.raises(InvalidInput, match="unknown fault 'explode': use one of drop_frames"):
        exchange.inject("explode")
    refused = plain.post(f"{exchange.rest_url}/local/faults", json={"fault": "explode"})
    assert refused.status_code == 400
    assert "rest_429" in refused.json()["error"]


# --- REST


def get(exchange: LocalExchange, path: str, **query: object) -> httpx.Response:
    return plain.get(exchange.rest_url + path, params=query, headers={"cache-control": "no-cache"})  # type: ignore[arg-type]


def candles(exchange: LocalExchange, granularity: str, start: int, end: int) -> list[dict[str, str]]:
    query = {"granularity": granularity, "start": start, "end": end}
    rows: list[dict[str, str]] = get(exchange, f"{API}/market/products/BTC-USD/candles", **query).json()["candles"]
    return rows


@pytest.mark.parametrize(
    ("fault", "status", "content_type", "body"),
    [
        ({"fault": "rest_429"}, 429, "application/json", "rate_limit_exceeded"),
        ({"fault": "rest_429", "body": "html"}, 429, "text/html", "<!DOCTYPE html>"),
        ({"fault": "rest_429", "body": "empty"}, 429, "text/plain", ""),
        ({"fault": "rest_401"}, 401, "text/plain", "Unauthorized"),
        ({"fault": "rest_500"}, 500, "application/json", "INTERNAL"),
        ({"fault": "rest_502"}, 502, "text/html", "502 Bad Gateway"),
    ],
)
def test_rest_can_fail_in_every_way(
    exchange: LocalExchange, fault: dict[str, Any], status: int, content_type: str, body: str
) -> None:
    exchange.inject(**fault, path="/time")
    assert get(exchange, f"{API}/market/products/BTC-USD").status_code == 200
    answer = get(exchange, f"{API}/time")
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (status, content_type)
    assert body in answer.text
    assert get(exchange, f"{API}/time").status_code == 200


def test_a_429_may_have_a_retry_after(exchange: LocalExchange) -> None:
    exchange.inject("rest_429", retry_after=2)
    assert get(exchange, f"{API}/time").headers["retry-after"] == "2.0"


def test_rest_can_hang_and_break_off(exchange: LocalExchange) -> None:
    exchange.inject("rest_hang", seconds=0.3)
    begun = time.monotonic()
    with pytest.raises(httpx.TransportError):
        get(exchange, f"{API}/time")
    assert time.monotonic() - begun >= 0.3
    exchange.inject("rest_truncated")
    with pytest.raises(httpx.RemoteProtocolError):
        get(exchange, f"{API}/market/products")
    notes = [r.note for r in exchange.ledger().requests[-2:]]
    assert notes == ["rest_hang", "rest_truncated"]


def test_rest_can_have_no_candles_of_one_product(exchange: LocalExchange) -> None:
    exchange.inject("rest_404", path="/BTC-USD/candles")
    query = {"granularity": "ONE_HOUR"}
    assert get(exchange, f"{API}/market/products/ETH-USD/candles", **query).status_code == 200
    refused = get(exchange, f"{API}/market/products/BTC-USD/candles", **query)
    assert refused.status_code == 404
    assert refused.json() == {"error": "NOT_FOUND", "message": "Product BTC-USD not supported"}
    assert get(exchange, f"{API}/market/products/BTC-USD/candles", **query).status_code == 200


def test_rest_can_be_slow_and_the_ledger_names_the_fault(exchange: LocalExchange) -> None:
    exchange.inject("rest_latency", seconds=0.3, path="candles")
    exchange.inject("rest_empty", product="BTC-USD")
    end, begun = Timeframe.H1.bucket(exchange.clock.now_ms() / 1000), time.monotonic()
    assert candles(exchange, "ONE_HOUR", end - 3_600, end) == []
    assert time.monotonic() - begun >= 0.3
    assert exchange.ledger().requests[-1].note == "rest_empty"


def test_a_server_that_restarts_ends_every_connection_and_counts_from_zero() -> None:
    with running(speed=0, after_s=3_840) as exchange, connected(exchange) as client:
        client.subscribe("candles", "BTC-USD")
        exchange.inject("restart_from_zero")
        client.until(lambda: client.closed)
        assert client.closed == 1001
        with connected(exchange) as again:
            again.subscribe("candles", "BTC-USD")
            exchange.clock.jump(40_000)
            again.until(lambda: again.candles("BTC-USD"))
            exchange.clock.jump(40_000)
            [*_, last] = again.until(lambda: _over(again, START_S + 3_600))
        truth = exchange.truth("BTC-USD", Timeframe.M5, START_S + 3_600, START_S + 3_900)[0]
        assert 0 < float(last["volume"]) < float(truth["volume"])


def _over(client: Client, start_s: int) -> list[dict[str, str]]:
    """The updates of the bucket `start_s`, once one of a later bucket has arrived."""
    sent = client.candles("BTC-USD")
    return [c for c in sent if int(c["start"]) == start_s] if any(int(c["start"]) > start_s for c in sent) else []


def test_rest_can_answer_with_another_products_candles(exchange: LocalExchange) -> None:
    end = Timeframe.H1.bucket(exchange.clock.now_ms() / 1000) - 3_600
    right = candles(exchange, "ONE_HOUR", end - 3_600, end)
    exchange.inject("rest_wrong_product")
    wrong = candles(exchange, "ONE_HOUR", end - 3_600, end)
    assert len(wrong) == len(right)
    assert wrong != right


def test_rest_can_be_late_with_the_newest_candle() -> None:
    with running(speed=0, after_s=3_610) as exchange:
        exchange.inject("rest_late", seconds=30)
        first, newest_closed = START_S + 2_700, START_S + 3_300
        assert [int(c["start"]) for c in candles(exchange, "FIVE_MINUTE", first, newest_closed)] == [first + 300, first]
        exchange.clock.jump(20_000)
        assert int(candles(exchange, "FIVE_MINUTE", first, newest_closed)[0]["start"]) == newest_closed


def statuses_of(exchange: LocalExchange, paths: list[str]) -> list[int]:
    """The statuses of GET requests sent in one piece, so that a busy machine cannot delay some of them."""
    ends = ["\r\n"] * (len(paths) - 1) + ["Connection: close\r\n\r\n"]
    lines = "".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{end}" for path, end in zip(paths, ends, strict=True))
    with socket.create_connection(("127.0.0.1", exchange.port), timeout=PATIENCE_S) as line:
        line.sendall(lines.encode())
        answers = b"".join(iter(lambda: line.recv(65_536), b""))
    return [int(code) for code in re.findall(rb"HTTP/1.1 (\d+) ", answers)]


def test_requests_are_limited_and_all_of_them_are_in_the_ledger() -> None:
    with running(requests_per_second=5) as exchange:
        codes = statuses_of(exchange, [f"{API}/time?n={n}" for n in range(60)])
        assert codes[:5] == [200] * 5
        assert codes.count(429) >= 5
        requests = exchange.ledger().requests
        assert [r.status for r in requests] == codes
        assert [r.query for r in requests] == [f"n={n}" for n in range(60)]
        assert exchange.ledger().most_in(3_600) == 60
        sent = plain.get(f"{exchange.rest_url}/local/ledger").json()
        assert sent["requests_total"] == 60
        assert sent["most_requests_in_one_second"] == exchange.ledger().most_in(1.0)


# --- controls


def test_the_controls_over_http(exchange: LocalExchange) -> None:
    base = f"{exchange.rest_url}/local"
    with plain.Client() as http:
        start = Timeframe.M5.bucket(exchange.clock.now_ms() / 1000) - 900
        query = {"product": "BTC-USD", "timeframe": "5m", "start": str(start), "end": str(start + 600)}
        sent = http.get(f"{base}/truth", params=query).json()["candles"]
        assert sent == exchange.truth("BTC-USD", Timeframe.M5, start, start + 600)
        before = len(exchange.ledger().requests)
        listed = get(exchange, f"{API}/market/products").json()["products"]
        assert [p["product_id"] for p in http.get(f"{base}/products").json()["products"]] == [
            p["product_id"] for p in listed
        ]
        assert len(exchange.ledger().requests) == before + 1, "controls are not in it"
        assert http.post(f"{base}/faults", json={"fault": "rest_late"}).json()["number"] > 0
        listed = http.get(f"{base}/faults").json()
        assert [fault["fault"] for fault in listed["active"]] == ["rest_late"]
        assert "meaning" in listed["known"]["half_open"]
        assert http.delete(f"{base}/faults", params={"fault": "rest_late"}).json() == {"removed": 1}
        for method, path, complaint in (
            ("GET", "/truth?product=NOPE-USD&timeframe=5m&start=1", "no product 'NOPE-USD'"),
            ("GET", "/truth?product=BTC-USD&timeframe=7m&start=1", "unknown timeframe"),
            ("GET", "/truth?product=BTC-USD&timeframe=5m", "start: None is not a number"),
            ("GET", "/truth?product=BTC-USD&timeframe=1m&start=1", "more than 50000 buckets"),
            ("GET", "/weather", "use clock, truth, products, streams, ledger or faults"),
            ("POST", "/faults", "not JSON"),
            ("POST", "/clock", "clock: "),
        ):
            refused = http.request(method, base + path)
            assert refused.status_code == 400
            assert complaint in refused.json()["error"]


def test_subscriptions_can_be_read(exchange: LocalExchange, client: Client) -> None:
    client.subscribe("candles", "ETH-USD", "BTC-USDC")
    [mine] = plain.get(f"{exchange.rest_url}/local/streams").json()["streams"]
    assert mine == {"connection": newest_connection(exchange), "candles": ["BTC-USD", "ETH-USD"]}


def test_the_clock_can_be_moved_and_the_feed_follows() -> None:
    with running() as exchange, connected(exchange) as client:
        client.subscribe("candles", "BTC-USD")
        moved = plain.post(f"{exchange.rest_url}/local/clock", json={"jump_ms": 86_400_000, "speed": 120}).json()
        assert moved["speed"] == 120
        assert moved["iso"].startswith("2021-03-05T01:")
        updates = client.until(lambda: [c for c in client.candles("BTC-USD") if int(c["start"]) > START_S + 86_400])
        assert len({c["start"] for c in updates}) == 1


# --- processes


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "simulator", *map(str, arguments)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_and_ends_on_a_signal(processes: Callable[..., Process], number: signal.Signals) -> None:
    port = free_port()
    process = processes(command("--port", port, "--speed", 60, "--start", "2021-03-04T00:00:00Z", "--products", 2))
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: plain.get(f"{url}/local/clock").json()["iso"].startswith("2021-03-04"))
    with closing(websocket.create_connection(f"ws://127.0.0.1:{port}")):
        process.send(number)
        assert process.wait() == 0
    assert "local exchange: stopped" in process.output()


def clock_of(port: int) -> dict[str, Any]:
    clock: dict[str, Any] = plain.get(f"http://127.0.0.1:{port}/local/clock").json()
    return clock


def test_a_restart_with_an_anchor_file_continues_its_time(processes: Callable[..., Process], tmp_path: Path) -> None:
    sent = []
    for _ in range(2):
        port = free_port()
        arguments = ("--port", port, "--speed", 1_000, "--start", "2021-03-04T00:00:00Z", "--products", 1)
        process = processes(command(*arguments, "--anchor-file", tmp_path / "anchor.json"))
        sent.append(eventually(partial(clock_of, port))["exchange_ms"])
        process.stop()
    wall = json.loads((tmp_path / "anchor.json").read_text())["wall_anchor_ms"]
    expected = START_S * 1000 + (time.time() * 1000 - wall) * 1_000
    assert sent[0] < sent[1] <= expected


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--market-data", "/nowhere"), "no such folder"),
        (("--speed", "-3"), "speed -3.0 is not between"),
        (("--products", "0"), "not between 1 and 3000"),
        (("--option", "colour=red"), "--option: colour"),
        (("--start", "yesterday"), "is not a time like"),
    ],
)
def test_wrong_arguments_end_it_with_one_clear_line(
    processes: Callable[..., Process], arguments: tuple[str, ...], complaint: str
) -> None:
    process = processes(command("--port", 0, *arguments))
    assert process.wait() == 2
    assert complaint in process.output()
    assert "Traceback" not in process.output()


def test_a_taken_port_ends_it_with_one_clear_line(processes: Callable[..., Process]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        process = processes(command("--port", port, "--products", 1))
        assert process.wait() == 2
    assert process.output() == f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
