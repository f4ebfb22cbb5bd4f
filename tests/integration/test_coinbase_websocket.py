"""The adapter over real sockets: against a scripted server, and against the local exchange at 60 times real time."""

from __future__ import annotations

import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from app.exchange import connection
from app.exchange.adapter import (
    CandleClosed,
    CandleUpdated,
    ClockTick,
    Connected,
    Disconnected,
    FeedEvent,
    GapSuspected,
)
from app.exchange.feed import Feed
from app.exchange.frames import MAX_FRAME_BYTES
from app.exchange.pacing import Limiter
from app.exchange.wakeups import SharedWakeup
from app.market.candles import UnifiedCandle
from app.market.timeframes import BASE
from app.util.backoff import Backoff
from simulator import LocalExchange, SeededMarket
from tests.feeds import coinbase_feed
from tests.support import PATIENCE_S, eventually, free_port
from tests.unit.exchange.coinbase.venue import BTC, ETH, T, row, timestamp

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.9)]

LATER_S = 2 * PATIENCE_S
"""Longer than any test waits."""

Script = Callable[["Server", ServerConnection, int], None]


class Server:
    """A WebSocket server on loopback that runs a script for each connection and records connections and messages."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._lock = threading.Lock()
        self.received: list[tuple[int, dict[str, Any]]] = []
        self.opened: list[float] = []
        self.open_now = 0
        self.most_open = 0
        self.extensions: list[str | None] = []
        self._server = serve(self._handle, "127.0.0.1", 0, max_size=None, close_timeout=1)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()

    def messages(self, number: int = 0) -> list[dict[str, Any]]:
        return [message for at, message in self.received if at == number]

    def _handle(self, wire: ServerConnection) -> None:
        with self._lock:
            number = len(self.opened)
            self.opened.append(time.monotonic())
            self.extensions.append(wire.request.headers.get("Sec-WebSocket-Extensions") if wire.request else None)
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            self._script(self, wire, number)
            for message in wire:
                self.received.append((number, json.loads(message)))
        except ConnectionClosed:
            pass
        finally:
            with self._lock:
                self.open_now -= 1

    def read(self, wire: ServerConnection, number: int, count: int) -> None:
        """Wait for `count` messages of the client."""
        for _ in range(count):
            self.received.append((number, json.loads(wire.recv(timeout=PATIENCE_S))))


def frame(number: int, channel: str, *events: Any, at: float = T + 10) -> str:
    return json.dumps({"channel": channel, "timestamp": timestamp(at), "sequence_num": number, "events": list(events)})


def update(number: int, volume: float = 1, product: str = BTC) -> str:
    return frame(number, "candles", {"type": "update", "candles": [row(T, volume, product=product)]})


@contextmanager
def feed(
    server: Server, *products: str, aliases: Mapping[str, str] | None = None, **options: Any
) -> Iterator[tuple[Feed, list[FeedEvent]]]:
    """A connected adapter, and the list that receives its events."""
    events: list[FeedEvent] = []
    limits = {"connections_limiter": Limiter(100), "messages_limiter": Limiter(100)}
    adapter = coinbase_feed(server.url, options.pop("on_event", events.append), **(limits | options))
    adapter.subscribe(products or (BTC,), aliases)
    adapter.connect()
    try:
        yield adapter, events
    finally:
        adapter.disconnect()


def of(kind: type[Any], events: list[FeedEvent]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def greet(server: Server, wire: ServerConnection, number: int) -> None:
    server.read(wire, number, 2)
    wire.send(update(0))
    wire.send(frame(1, "heartbeats", {"heartbeat_counter": 1}))


def test_it_subscribes_and_hands_over_events() -> None:
    with closing(Server(greet)) as server, feed(server) as (adapter, events):
        eventually(lambda: of(CandleUpdated, events) and adapter.health()[0].session.frames == 2)
        assert adapter.is_connected
        assert events[0] == Connected("coinbase-1", 1)
        assert server.messages() == [
            {"type": "subscribe", "product_ids": [BTC], "channel": "candles"},
            {"type": "subscribe", "channel": "heartbeats"},
        ]
        assert server.extensions == [None], "compression is not offered"
        [health] = adapter.health()
        assert orjson.loads(orjson.dumps(health))["session"]["frames"] == 2
    assert of(Disconnected, events) == [Disconnected("coinbase-1", "we disconnected")]


def reset(wire: ServerConnection) -> None:
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.socket.shutdown(socket.SHUT_RD)  # wakes the server's own reader, which would hold the socket open
    wire.socket.close()


def announce_too_much(wire: ServerConnection) -> None:
    wire.socket.sendall(b"\x81\x7f" + (MAX_FRAME_BYTES + 1).to_bytes(8, "big"))


def send_too_much_in_parts(wire: ServerConnection) -> None:
    part = "[" * (MAX_FRAME_BYTES // 4)
    wire.send(part for _ in range(5))


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda wire: wire.close(1000, "too many products"), "1000 too many products"),
        (lambda wire: wire.close(1001), "1001"),
        (lambda wire: wire.close(1008, "no subscribe"), "1008"),
        (reset, "reset|lost"),
        (lambda wire: wire.socket.shutdown(socket.SHUT_RDWR), "lost"),
        (lambda wire: wire.socket.sendall(b"\xf1\x02ab"), "rsv"),
        (announce_too_much, "bytes was announced"),
        (send_too_much_in_parts, "message of more than"),
    ],
    ids=["1000", "1001", "1008", "reset", "cut", "no protocol", "huge frame", "huge message"],
)
def test_quirks_02_and_03_it_reconnects_however_a_connection_ends(
    end: Callable[[ServerConnection], None], reason: str
) -> None:
    def script(server: Server, wire: ServerConnection, number: int) -> None:
        greet(server, wire, number)
        if number == 0:
            end(wire)

    with closing(Server(script)) as server, feed(server) as (adapter, events):
        eventually(lambda: Connected("coinbase-1", 2) in events and adapter.is_connected)
        eventually(lambda: len(of(CandleUpdated, events)) == 2 or len(server.messages(1)) == 2)
        assert re.search(reason, of(Disconnected, events)[0].reason)
        assert server.most_open == 1


def test_quirk_01_a_silent_socket_is_replaced() -> None:
    def script(server: Server, wire: ServerConnection, number: int) -> None:
        if number:
            greet(server, wire, number)

    with closing(Server(script)) as server, feed(server) as (_, events):
        eventually(lambda: Connected("coinbase-1", 2) in events)
        assert of(Disconnected, events) == [Disconnected("coinbase-1", "no frame within 5 s of opening")]
        eventually(lambda: server.open_now == 1)
        assert server.opened[1] - server.opened[0] > 4.9


@contextmanager
def refused() -> Iterator[tuple[Feed, list[FeedEvent]]]:
    """A feed whose connections are refused, and the list that receives its events."""
    events: list[FeedEvent] = []
    adapter = coinbase_feed(f"ws://127.0.0.1:{free_port()}", events.append, connections_limiter=Limiter(100))
    adapter.subscribe([BTC])
    adapter.connect()
    try:
        yield adapter, events
    finally:
        adapter.disconnect()


def runs() -> bool:
    """Whether a connection has a thread."""
    return any(t.name.startswith("coinbase-") for t in threading.enumerate())


def test_it_reconnects_after_refused_connections() -> None:
    with refused() as (adapter, events):
        eventually(lambda: adapter.health()[0].attempts_failed >= 2)
        assert "refused" in adapter.health()[0].last_error.lower()
        assert not adapter.is_connected
        assert events == []


def test_disconnect_ends_a_wait_between_two_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next_s", lambda _: LATER_S)
    with refused() as (adapter, _):
        eventually(lambda: adapter.health()[0].attempts_failed == 1)
        ended = threading.Thread(target=adapter.disconnect, daemon=True)
        ended.start()
        eventually(lambda: not ended.is_alive())
        assert not runs()


def test_disconnect_ends_a_handshake_that_never_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        adapter = coinbase_feed(url, lambda _: None, connect_timeout_seconds=LATER_S)
        adapter.subscribe([BTC])
        adapter.connect()
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(1) == b"G"
            ended = threading.Thread(target=adapter.disconnect, daemon=True)
            ended.start()
            eventually(lambda: not ended.is_alive())
            assert not runs(), "so it does not try again"


def test_nothing_comes_after_disconnect_and_it_can_connect_again() -> None:
    def script(server: Server, wire: ServerConnection, number: int) -> None:
        server.read(wire, number, 2)
        for i in range(1_000_000):
            wire.send(update(i, volume=i + 1))

    with closing(Server(script)) as server, feed(server) as (adapter, events):
        eventually(lambda: len(events) > 100)
        adapter.disconnect()
        received = len(events)
        assert isinstance(events[-1], Disconnected)
        eventually(lambda: server.open_now == 0)
        assert len(events) == received
        adapter.connect()
        eventually(lambda: len(events) > received + 10)
        assert server.most_open == 1


def test_a_callback_that_fails_does_not_end_the_feed(caplog: pytest.LogCaptureFixture) -> None:
    received: list[FeedEvent] = []

    def fail(event: FeedEvent) -> None:
        received.append(event)
        raise RuntimeError("the disk is full")

    with closing(Server(greet)) as server, feed(server, on_event=fail) as (adapter, _):
        eventually(lambda: of(CandleUpdated, received))
        assert adapter.is_connected
        assert adapter.health()[0].callback_errors >= 2
        assert "the disk is full" in caplog.text


def test_a_callback_may_disconnect() -> None:
    adapters: list[Feed] = []

    def stop(event: FeedEvent) -> None:
        if isinstance(event, CandleUpdated):
            adapters[0].disconnect()

    with closing(Server(greet)) as server:
        adapters.append(coinbase_feed(server.url, stop, connections_limiter=Limiter(100)))
        adapters[0].subscribe([BTC])
        adapters[0].connect()
        eventually(lambda: server.opened and server.open_now == 0)
        assert not adapters[0].is_connected


def test_products_are_spread_evenly_and_move_in_and_out() -> None:
    products = [f"P{i}-USD" for i in range(5)]
    with closing(Server(greet)) as server, feed(server, *products, products_per_connection=2) as (adapter, _):
        eventually(lambda: adapter.is_connected and len(server.received) == 6)
        sizes = sorted(len(m["product_ids"]) for _, m in server.received if m["channel"] == "candles")
        assert sizes == [1, 2, 2]
        adapter.subscribe(["Q0-USD"])
        eventually(lambda: [m for _, m in server.received if m.get("product_ids") == ["Q0-USD"]])
        assert len(server.opened) == 3, "there was room"
        adapter.subscribe(["Q1-USD"])
        eventually(lambda: server.open_now == 4)
        adapter.unsubscribe(["Q1-USD"])
        eventually(lambda: server.open_now == 3)
        adapter.unsubscribe([products[0]])
        eventually(lambda: [m for _, m in server.received if m["type"] == "unsubscribe"])


def test_an_alias_stays_with_its_stream() -> None:
    aliases = {"BTC-USDC": BTC}
    with (
        closing(Server(greet)) as server,
        feed(server, BTC, ETH, "BTC-USDC", aliases=aliases, products_per_connection=1) as (_, events),
    ):
        eventually(lambda: {e.candle.product for e in of(CandleUpdated, events)} == {BTC, "BTC-USDC"})
        eventually(lambda: server.open_now == 2)
        assert len(server.opened) == 2


def test_an_alias_that_becomes_known_with_its_product_joins_its_stream() -> None:
    with closing(Server(greet)) as server, feed(server, BTC, products_per_connection=1) as (adapter, events):
        eventually(lambda: of(CandleUpdated, events))
        adapter.subscribe(["BTC-USDC"], {"BTC-USDC": BTC})
        (health,) = adapter.health()
        assert health.session.products == 2
        assert server.open_now == 1


class Slow(Limiter):
    """`count` permits now, more only after the test. `waiting`: how many of these were requested."""

    WINDOW_S = LATER_S

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.waiting = 0

    def reserve(self) -> float:
        wait_s = super().reserve()
        self.waiting += wait_s > 0
        return wait_s


def test_connections_and_messages_are_paced_over_all_connections() -> None:
    products = [f"P{i}-USD" for i in range(8)]
    connections, messages = Slow(4), Slow(5)
    limits = {"connections_limiter": connections, "messages_limiter": messages}
    with closing(Server(greet)) as server, feed(server, *products, products_per_connection=1, **limits):
        eventually(lambda: connections.waiting == 4 and messages.waiting >= 2 and len(server.received) == 5)
        assert len(server.opened) == 4


def test_an_untrusted_certificate_is_refused(tmp_path: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = tmp_path / "certificate.pem"
        certificate.write_text(self_signed())
        context.load_cert_chain(certificate)

        def answer() -> None:
            wire, _ = listener.accept()
            with pytest.raises(ssl.SSLError), wire:
                context.wrap_socket(wire, server_side=True).recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        adapter = coinbase_feed(f"wss://127.0.0.1:{listener.getsockname()[1]}", lambda _: None)
        adapter.subscribe([BTC])
        adapter.connect()
        try:
            eventually(lambda: "certificate" in str(adapter.health()[0].last_error).lower())
        finally:
            adapter.disconnect()
            thread.join()


def self_signed() -> str:
    """A fresh key and certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode() + certificate.public_bytes(serialization.Encoding.PEM).decode()


START = 1_769_093_400


@contextmanager
def local(*products: str, speed: float, **options: Any) -> Iterator[tuple[LocalExchange, Feed, list[FeedEvent]]]:
    """The local exchange and an adapter that is connected to it."""
    market = SeededMarket(7, start_s=START)
    with LocalExchange(market, speed=speed, start_ms=START * 1000 + 40_000, **options) as exchange:
        events: list[FeedEvent] = []
        adapter = coinbase_feed(exchange.ws_url, events.append)
        adapter.subscribe(products)
        adapter.connect()
        try:
            yield exchange, adapter, events
        finally:
            adapter.disconnect()


def check(exchange: LocalExchange, events: list[FeedEvent], products: tuple[str, ...]) -> int:
    """Every closed candle is true or provisional, and each finished bucket was decided. Returns how many closed."""
    last: dict[tuple[str, int], UnifiedCandle] = {}
    for event in list(events):
        if isinstance(event, CandleClosed):
            last[event.candle.product, event.candle.start_s] = event.candle
        elif isinstance(event, GapSuspected):
            for start_s in range(event.first_s, event.last_s + 1, 300):
                last.pop((event.product, start_s), None)
    for product in products:
        truth = {int(c["start"]): c for c in exchange.truth(product, BASE, START)}
        for (name, start_s), candle in last.items():
            if name == product:
                wanted = truth[start_s]
                for price in ("open", "high", "low", "close", "volume"):
                    assert getattr(candle, price) == float(wanted[price]), (product, start_s, price)
        spans = [(g.first_s, g.last_s) for g in of(GapSuspected, events) if g.product == product]
        decided = {start for name, start in last if name == product}
        decided |= {start for first, end in spans for start in range(first, end + 1, 300)}
        assert decided == set(range(min(decided), max(decided) + 1, 300)), "no bucket is left out"
    return len({(e.candle.product, e.candle.start_s) for e in of(CandleClosed, events)})


STEP_MS = 20_000
PRODUCTS = (BTC, ETH, "SOL-USD", "XRP-USD", "DOGE-USD", "MLN-USD")


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("drop_frames", {"count": 5}),
        ("duplicate_frames", {"count": 20}),
        ("reorder_frames", {"count": 6}),
        ("garbage", {"kind": "nan", "count": 5}),
        ("close", {"code": 1001}),
        ("reset", {}),
        ("snapshot_storm", {"count": 3}),
        ("stale_update", {"product": BTC, "buckets_back": 1}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_after_any_fault_that_can_be_seen_every_close_is_the_truth(
    fault: str, parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_WAKEUP", SharedWakeup(0.01))  # a market at 600 times the pace
    with local(*PRODUCTS, speed=0, heartbeat_ms=10, update_ms=10) as (exchange, adapter, events):

        def time_passes() -> None:
            """The next 20 s begin when the adapter has seen the present time: a busy machine changes no order."""
            now_ms, ticks = exchange.clock.now_ms(), of(ClockTick, events)
            if not adapter.is_connected or (ticks and ticks[-1].exchange_ms >= now_ms):
                exchange.clock.set(now_ms // STEP_MS * STEP_MS + STEP_MS)

        def closes(count: int, since: int = 0) -> bool:
            time_passes()
            return len(of(CandleClosed, events[since:])) >= count

        eventually(lambda: closes(4), interval=0.001)
        exchange.inject(fault, **parameters)
        begun = len(events)
        eventually(lambda: closes(30, begun), interval=0.001)
    assert check(exchange, events, PRODUCTS) >= 30


def test_at_sixty_times_the_pace_every_close_is_the_truth_and_a_dead_channel_is_found() -> None:
    with local(*PRODUCTS, speed=60) as (exchange, _, events):
        eventually(lambda: len(of(CandleClosed, events)) >= 6)
        assert of(Disconnected, events) == []
        exchange.inject("freeze_channel", channel="candles")
        eventually(lambda: of(Disconnected, events))
        assert "no candle for" in of(Disconnected, events)[0].reason
        exchange.clear()
        begun = len(events)
        eventually(lambda: len(of(CandleClosed, events[begun:])) >= 5)
    assert check(exchange, events, PRODUCTS) >= 10
