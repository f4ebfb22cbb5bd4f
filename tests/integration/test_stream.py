"""The live stream over real sockets, from a real Redis: no event lost or repeated, and no client slows another."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import orjson
import psutil
import pytest
import redis

from app.context import Context
from app.events import PAYLOADS
from app.market.candles import CandleState, UnifiedCandle
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage import keys
from app.storage.connection import connect
from app.storage.forming import FormingFeed
from app.storage.model import Write
from app.web import server
from app.web.stream import hub as hub_module
from client import ApiError, Candle, Client, Event
from tests import filled, plain
from tests.described import check
from tests.oracle import Exchange
from tests.redis_server import RedisServer
from tests.serving import serving
from tests.support import PATIENCE_S, Process, eventually, free_port
from tests.system import System

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=0.5)]

BTC = Series("coinbase", "BTC-USD", Timeframe.M5)


@pytest.fixture
def context(redis_client: redis.Redis, redis_url: str) -> Iterator[Context]:
    made = Context(filled.settings(redis_url), connect(redis_url))  # one pool for the server's threads
    filled.fill(made)
    redis_client.delete(keys.EVENTS)
    yield made
    made.redis.close()


@pytest.fixture
def web(context: Context) -> Iterator[str]:
    with serving(context) as (url, _):
        yield url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats come soon."""
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.2)


class Follower:
    """A client on a thread of its own, which keeps its events."""

    def __init__(
        self, url: str, *, after: str | None = None, token: str | None = None, **wanted: Sequence[str]
    ) -> None:
        self.client = Client(url, token)
        self.events: list[Event] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(wanted, after))
        self._thread.start()
        eventually(lambda: self.client.position or self.error)

    def _run(self, wanted: dict[str, Sequence[str]], after: str | None) -> None:
        try:
            for event in self.client.events(**wanted, after=after):
                self.events.append(event)
        except Exception as error:
            self.error = error

    def numbers(self) -> list[int]:
        return [e.data["n"] for e in self.events if e.kind != "gap"]

    def has(self, count: int) -> list[Event]:
        """Its events, once there are `count`."""
        eventually(lambda: len(self.events) >= count)
        return self.events[:]

    def stop(self) -> None:
        self.client.close()

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture
def follow(web: str, context: Context) -> Iterator[Callable[..., Follower]]:
    """Starts followers; after the test they end at the server's next message."""
    with following(web, context) as start:
        yield start


@contextmanager
def following(url: str, context: Context, **always: str) -> Iterator[Callable[..., Follower]]:
    """Starts followers of `url`; at the end of the block they end."""
    followers: list[Follower] = []

    def start(**options: object) -> Follower:
        followers.append(Follower(url, **always, **options))  # type: ignore[arg-type]
        return followers[-1]

    try:
        yield start
    finally:
        for follower in followers:
            follower.stop()
        for product, kind in itertools.product(("BTC-USD", "SOL-USD"), ("close", "correction", "indicator", "alert")):
            add(context, [0], product, kind=kind)  # the last message of the server, at which they end
        for follower in followers:
            follower.join()


def add(context: Context, numbers: Sequence[int], product: str = "BTC-USD", kind: str = "close", pad: int = 0) -> None:
    """Append one event per number, as the scripts do, with nothing else in it."""
    with context.redis.pipeline(transaction=False) as pipe:
        for n in numbers:
            data = orjson.dumps({"product": product, "timeframe": "5m", "n": n, "pad": "x" * pad})
            pipe.xadd(keys.EVENTS, {"kind": kind, "series": f"coinbase:{product}:5m", "data": data})
        pipe.execute()


def forming(price: float) -> UnifiedCandle:
    return UnifiedCandle(
        exchange="coinbase",
        product="BTC-USD",
        timeframe=Timeframe.M5,
        start_s=filled.OPEN_S,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=1.0,
        state=CandleState.FORMING,
    )


# Delivery


def test_a_close_a_correction_and_an_indicator_come_as_they_were_written(
    follow: Callable[..., Follower], context: Context
) -> None:
    follower = follow()
    candle = filled.walk(filled.OPEN_S, 1, 300)
    context.candles.write([Write(BTC, candle)])
    candle["close"] += 0.001
    candle["high"] += 0.001
    candle["observed_ms"] += 1
    context.candles.write([Write(BTC, candle)])
    filled.compute(context, {BTC: candle})
    close, correction, indicator = follower.has(3)
    assert [e.kind for e in (close, correction, indicator)] == ["close", "correction", "indicator"]
    check_payloads(follower.events)
    assert (close.product, close.timeframe, close.candle.start) == ("BTC-USD", "5m", filled.OPEN_S)
    assert correction.candle.close == pytest.approx(close.candle.close + 0.001)
    assert indicator.data["macdv"] == context.indicators.read_many([BTC])[0].data["macdv"]  # type: ignore[union-attr]
    assert sorted(map(id_of, follower.events)) == [id_of(e) for e in follower.events]


def check_payloads(events: Sequence[Event]) -> None:
    for event in events:
        check(PAYLOADS[event.kind], orjson.dumps(event.data))


def id_of(event: Event) -> tuple[int, ...]:
    assert event.id
    return tuple(map(int, event.id.split("-")))


def test_only_wanted_events_come(follow: Callable[..., Follower], context: Context) -> None:
    closes = follow(products=["SOL-USD"], timeframes=["5m"], kinds=["close"])
    everything = follow()
    for kind, product in itertools.product(("close", "indicator", "alert", "strange"), ("BTC-USD", "SOL-USD")):
        add(context, [1], product, kind=kind)
    add(context, [2], "SOL-USD")
    assert [(e.kind, e.product, e.data["n"]) for e in closes.has(2)] == [
        ("close", "SOL-USD", 1),
        ("close", "SOL-USD", 2),
    ]
    assert [e.kind for e in everything.has(7)] == ["close"] * 2 + ["indicator"] * 2 + ["alert"] * 2 + ["close"]


def test_forming_candles_come_only_on_request_and_have_no_id(follow: Callable[..., Follower], context: Context) -> None:
    watcher, other = follow(kinds=["forming", "close"]), follow()
    feed = FormingFeed(context.redis, "coinbase")

    def seen() -> list[Event]:
        feed.publish([forming(7.0)])  # lost until the listener is connected
        return [e for e in watcher.events if e.kind == "forming"]

    first = eventually(seen)[0]
    assert (first.id, first.candle.state, first.candle.close) == (None, "forming", 7.0)
    check_payloads([first])
    add(context, [5])
    assert eventually(lambda: other.numbers()) == [5]
    assert {e.kind for e in other.events} == {"close"}


def test_all_events_of_a_whole_system_come(
    start_exchange: Callable[..., Exchange], start_system: Callable[..., System]
) -> None:
    system = start_system(
        start_exchange("--products", "3"), CANDLEWICK_COINBASE__PRODUCTS="all:USD", CANDLEWICK_TIMEFRAMES="5m,15m"
    )
    with serving(system.context) as (url, _):
        client, seen = Client(url), set[tuple[str, str]]()
        closed: dict[tuple[str, str], Candle] = {}
        for event in client.events(kinds=["close", "indicator", "forming"]):
            seen.add((event.kind, event.timeframe))
            if event.kind == "close":
                closed[event.product, event.timeframe] = event.candle
            if seen >= {
                ("close", "5m"),
                ("close", "15m"),
                ("indicator", "5m"),
                ("indicator", "15m"),
                ("forming", "5m"),
            }:
                break
        for (product, timeframe), candle in closed.items():
            [kept] = client.candles(product, timeframe, start=candle.start, end=candle.start)
            assert kept.start == candle.start
            assert kept.corrected or (kept.close, kept.volume) == (candle.close, pytest.approx(candle.volume))
        assert {row["product"] for row in client.products()} >= {product for product, _ in closed}
        assert client.indicators(product, timeframe, limit=5)["product"] == product
        client.close()


# Continuing


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_client_that_comes_back_gets_everything_since_once(
    web: str, follow: Callable[..., Follower], context: Context, how: str
) -> None:
    first = follow()
    add(context, range(10))
    last = first.has(10)[6].id
    add(context, range(10, 2000))
    if how == "header":
        back = follow(after=last)
        back.has(1993)
        assert back.numbers() == list(range(7, 2000))
        return
    with plain.stream("GET", f"{web}/v1/stream", params={"last_event_id": last}) as answer:
        text = ""
        for part in answer.iter_text():
            text += part
            if text.count("event: close") >= 1993:
                break
    numbers = [orjson.loads(line[6:])["n"] for line in text.split("\n") if line.startswith("data: ")]
    assert numbers == list(range(7, 2000))


def test_the_id_of_a_heartbeat_counts(impatient: None, context: Context) -> None:
    del impatient
    with serving(context) as (url, _), following(url, context) as follow:
        follower = follow(products=["SOL-USD"])
        before = follower.client.position
        add(context, range(300), "BTC-USD")  # the client wants none of them
        newest = context.redis.xrevrange(keys.EVENTS, count=1)[0][0].decode()
        eventually(lambda: follower.client.position == newest)
        assert before != newest
        assert follower.events == []
        context.redis.xtrim(keys.EVENTS, maxlen=1, approximate=False)
        again = follow(products=["SOL-USD"], after=newest)
        add(context, [1], "SOL-USD")
        assert [e.kind for e in again.has(1)] == ["close"]


def test_a_client_away_too_long_receives_a_gap_and_then_kept_events(
    follow: Callable[..., Follower], context: Context
) -> None:
    first = follow()
    add(context, range(100))
    last = first.has(100)[10].id
    context.redis.xtrim(keys.EVENTS, maxlen=50, approximate=False)
    back = follow(after=last)
    gap, *rest = back.has(51)
    assert (gap.kind, gap.data["after"], gap.data["oldest"]) == ("gap", last, first.events[50].id)
    assert [e.data["n"] for e in rest] == list(range(50, 100))


def test_an_id_of_another_installation_is_a_gap_before_new_events(
    follow: Callable[..., Follower], context: Context
) -> None:
    add(context, range(5))
    back = follow(after="999999999999999-0")
    assert back.has(1)[0].kind == "gap"
    add(context, [5])
    assert back.has(2)[1].data["n"] == 5


def test_all_kept_events_come_from_the_first_id(follow: Callable[..., Follower], context: Context) -> None:
    add(context, range(20))
    everything = follow(after="0-0")
    everything.has(20)
    assert everything.numbers() == list(range(20))
    context.redis.xtrim(keys.EVENTS, maxlen=5, approximate=False)
    rest = follow(after="0-0")
    assert [e.kind for e in rest.has(6)] == ["gap", *["close"] * 5]


def test_events_that_went_by_unread_are_a_gap_for_a_client_that_is_connected(
    follow: Callable[..., Follower], context: Context
) -> None:
    follower = follow()
    add(context, [0])
    follower.has(1)
    with context.redis.pipeline(transaction=True) as pipe:  # in one step, so that no reader can be quick enough
        for n in range(1, 200):
            data = orjson.dumps({"product": "BTC-USD", "timeframe": "5m", "n": n})
            entry = {"kind": "close", "series": "coinbase:BTC-USD:5m", "data": data}
            pipe.xadd(keys.EVENTS, entry, maxlen=100, approximate=False)
        pipe.execute()
    follower.has(102)
    assert [e.kind for e in follower.events[:3]] == ["close", "gap", "close"]
    assert follower.numbers() == [0, *range(100, 200)]


# Failures


def test_clients_outlive_an_outage_of_redis(tmp_path: Path) -> None:
    with RedisServer(tmp_path, free_port()) as store:
        context = Context(filled.settings(store.url), connect(store.url))
        filled.fill(context)
        with serving(context) as (url, _), following(url, context) as follow:
            follower = follow()
            add(context, range(10))
            follower.has(10)
            os.kill(store.pid, signal.SIGSTOP)
            with pytest.raises(redis.exceptions.RedisError):
                connect(store.url, timeout_s=0.2).ping()
            os.kill(store.pid, signal.SIGCONT)
            add(context, range(10, 20))
            follower.has(20)
            context.redis.delete(keys.EVENTS)  # and even the loss of all data
            context.redis.xadd(keys.EVENTS, {"kind": "x"}, id="5-0")
            eventually(lambda: follower.events[-1].kind == "gap")
            add(context, range(20, 30))
            eventually(lambda: follower.numbers()[-1] == 29)
            assert follower.numbers() == list(range(30))
        context.redis.close()


def test_frozen_clients_delay_no_other_take_no_memory_and_continue_later(
    context: Context, web_process: tuple[str, Process]
) -> None:
    url, process = web_process
    with ExitStack() as stack:
        frozen = [stack.enter_context(_stalled_client(url)) for _ in range(20)]
        follow = stack.enter_context(following(url, context))
        others = [follow() for _ in range(5)]
        before = _memory(process)
        for first in range(0, 12_000, 1_000):  # 12 MB each, far more than all buffers on the way hold
            add(context, range(first, first + 1_000), pad=1_000)
        for other in others:
            other.has(12_000)
            assert other.numbers() == list(range(12_000))
        assert _memory(process) - before < 80e6  # 240 MB wait for the frozen clients
        received = bytearray()
        while not (b'"n":11999,' in received[-3000:] and received.endswith(b"\n\n\r\n")):
            received += frozen[7].recv(1_000_000)
        body = b"".join(_unchunked(bytes(received)))
        numbers = [orjson.loads(line[6:])["n"] for line in body.split(b"\n") if line.startswith(b"data: ")]
        assert numbers == list(range(12_000))


@pytest.fixture
def web_process(context: Context, processes: Callable[..., Process]) -> tuple[str, Process]:
    """A web process of its own, and its URL."""
    port = free_port()
    env = {"REDIS_URL": context.settings.redis_url, "CANDLEWICK_TIMEFRAMES": "5m,1h", "CANDLEWICK_WEB_PORT": str(port)}
    process = processes([sys.executable, "-m", "app", "web"], env=env)
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: plain.get(f"{url}/healthz").status_code == 200)
    return url, process


@contextmanager
def _stalled_client(url: str) -> Iterator[socket.socket]:
    """A client of the stream that has read the first bytes of the response, and then stops reading."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(PATIENCE_S)
        made.connect(("127.0.0.1", int(url.rsplit(":", 1)[1])))
        made.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert made.recv(12) == b"HTTP/1.1 200"
        yield made


def _memory(process: Process) -> int:
    """Resident bytes of the process, which may be a child of the started one."""
    root = psutil.Process(process.pid)
    return sum(p.memory_info().rss for p in (root, *root.children(recursive=True)))


def _unchunked(raw: bytes) -> Iterator[bytes]:
    """The bodies of the chunks in `raw`, which begins with the headers."""
    at = raw.index(b"\r\n\r\n") + 4
    while at < len(raw):
        line_end = raw.find(b"\r\n", at)
        if line_end < 0:
            return
        size = int(raw[at:line_end], 16)
        yield raw[line_end + 2 : line_end + 2 + size]
        at = line_end + 2 + size + 2


def test_a_client_that_stays_frozen_is_cut_off(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "DEAF_MS", 500)
    with serving(context) as (url, web), _stalled_client(url):
        eventually(lambda: web.hub.clients == 1)
        add(context, range(10_000), pad=1_000)
        eventually(lambda: web.hub.clients == 0)


def test_streams_of_a_stopped_web_process_continue_at_the_next(
    context: Context, web_process: tuple[str, Process], processes: Callable[..., Process]
) -> None:
    url, process = web_process
    with following(url, context) as follow:
        follower = follow()
        add(context, range(5))
        follower.has(5)
        assert process.stop() == 0
        add(context, range(5, 9))
        port = url.rsplit(":", 1)[1]
        processes(process.command, env={"REDIS_URL": context.settings.redis_url, "CANDLEWICK_WEB_PORT": port})
        follower.has(9)
        assert follower.numbers() == list(range(9))


# Refused requests


@pytest.mark.parametrize(
    ("wanted", "status", "reason"),
    [
        ({"products": ["BTC-EUR"]}, 404, "did you mean BTC-USD"),
        ({"timeframes": ["30m"]}, 404, "use one of 5m, 1h"),
        ({"timeframes": ["7m"]}, 400, "timeframes|7m"),
        ({"kinds": ["closes"]}, 400, "^kinds: .*closes"),
        ({"after": "yesterday"}, 400, "invalid event id"),
    ],
)
def test_a_wrong_request_is_refused_permanently(
    web: str, wanted: dict[str, Sequence[str]], status: int, reason: str
) -> None:
    with pytest.raises(ApiError, match=reason) as refused:
        next(Client(web).events(**wanted))  # type: ignore[arg-type]
    assert refused.value.status == status


def test_too_many_clients_receive_a_retry_after(
    follow: Callable[..., Follower], web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "CLIENTS", 1)
    follow()
    answer = plain.get(f"{web}/v1/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
