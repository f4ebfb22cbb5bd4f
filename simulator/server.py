"""The server: one port for WebSocket, REST and the controls under `/local/`."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from aiohttp import WSMsgType, web

from app.util.rate import KeyedRateLimit
from simulator import rest_faults as kinds
from simulator.clock import ExchangeClock
from simulator.connection import Connection
from simulator.control import Control
from simulator.fault_injector import FaultInjector
from simulator.faults import Faults
from simulator.feed import Feed
from simulator.ledger import Ledger, LoggedRequest
from simulator.options import Options
from simulator.replies import Reply, bad_gateway, error, not_found, too_many, unauthorized
from simulator.rest import Rest
from simulator.rest_faults import CountedRestFault
from simulator.stream_faults import RefuseConnections
from simulator.subscribing import Subscriber
from simulator.trade_log import TradeLog

log = logging.getLogger(__name__)

_COUNTED = (
    kinds.RestThrottle,
    kinds.RestUnauthorized,
    kinds.RestNotFound,
    kinds.RestInternal,
    kinds.RestBadGateway,
    kinds.RestHang,
    kinds.RestTruncated,
    kinds.RestWrongProduct,
)
_SLOW = ("ONE_HOUR", "TWO_HOUR", "FOUR_HOUR", "SIX_HOUR", "ONE_DAY")

MAX_ADDRESSES = 1_000
"""Addresses that are counted; beyond that the least recently seen is dropped."""


class Server:
    """The local exchange's server. `start` and `stop` belong to one event loop."""

    def __init__(self, trade_log: TradeLog, clock: ExchangeClock, options: Options | None = None) -> None:
        self.options = options or Options()
        self.trade_log = trade_log
        self.clock = clock
        self.faults = Faults()
        self.ledger = Ledger(clock.now_ms)
        self.feed = Feed(trade_log, clock, self.options, self.faults, self.ledger)
        self.rest = Rest(trade_log, clock, self.options, self.faults)
        self.injector = FaultInjector(self.feed, self.rest, trade_log, clock, self.faults)
        self._control = Control(trade_log, clock, self.ledger, self.faults, self.injector, self.feed)
        self._requests = _limit(self.options.requests_per_second)
        self._arrivals = _limit(self.options.connections_per_second)
        self._messages = _limit(self.options.messages_per_second)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="local-exchange")
        self._runner: web.AppRunner | None = None
        self.feeding: asyncio.Task[None] | None = None
        """The loop of the feed; ends only with an error, or if cancelled."""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port. Raises `OSError` if it is in use."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        self.feeding = asyncio.create_task(self.feed.run())
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Close every connection and the port. Raises the error that ended the feed, if any."""
        closing = [c.close(1001, "going away") for c in list(self.feed.connections.values())]
        await asyncio.gather(*closing, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self.feeding is not None:
            self.feeding.cancel()
            with suppress(asyncio.CancelledError):
                await self.feeding

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/local/"):
            return _response(await self._control.answer(request))
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._socket(request)
        return await self._answer(request)

    # --- WebSocket

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        connection = Connection(self.feed.number(), request, self.options, self.faults, self.ledger)
        refused = self.faults.find(RefuseConnections)
        if refused is not None or self._arrivals.wait_s(connection.address):
            status = 429 if refused is None else refused.status
            self.ledger.socket(connection.number, "refused", str(status))
            if not status:
                connection.abort()
            return web.Response(status=status or 503, text="")
        await connection.ws.prepare(request)
        self.feed.connections[connection.number] = connection
        self.ledger.socket(connection.number, "opened", connection.address)
        log.info("connection %d opened", connection.number)
        writer = asyncio.create_task(connection.run())
        deadline = asyncio.create_task(self._deadline(connection))
        try:
            await self._read(connection)
        finally:
            writer.cancel()
            deadline.cancel()
            self.feed.leave(connection)
            self.ledger.socket(connection.number, "closed", str(connection.ws.close_code))
            log.info("connection %d closed (%s)", connection.number, connection.ws.close_code)
        return connection.ws

    async def _read(self, connection: Connection) -> None:
        subscriber = Subscriber(self.feed, self.trade_log, self.clock)
        async for message in connection.ws:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            self.ledger.socket(connection.number, "message", str(message.data)[:500])
            if not self._messages.wait_s(connection.address):
                await subscriber.take(connection, message.data)
            elif self.options.over_messages == "close":
                await connection.close(1008, "rate limit exceeded")
            else:
                connection.send_raw(b'{"type":"error","message":"rate limit exceeded"}')

    async def _deadline(self, connection: Connection) -> None:
        await asyncio.sleep(self.options.subscribe_deadline_s)
        if not connection.subscribed:
            await connection.close(self.options.deadline_code, "no subscribe message")

    # --- REST

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        entry = self.ledger.request(request.method, request.path, request.query_string, request.remote or "")
        try:
            await self._delay(request.path)
            fault = self._fault_for(request.path)
            if fault is not None:
                entry.note = fault.fault
                return await self._faulted(request, entry, fault)
            return self._settle(entry, await self._reply(request))
        finally:
            entry.status = entry.status if entry.status is not None else 0

    async def _delay(self, path: str) -> None:
        latency = self.faults.find(kinds.RestLatency, lambda fault: fault.path in path)
        if latency is not None:
            await asyncio.sleep(latency.seconds)

    def _fault_for(self, path: str) -> CountedRestFault | None:
        found = (self.faults.take(kind, lambda fault: fault.path in path) for kind in _COUNTED)
        return next((fault for fault in found if fault is not None), None)

    async def _faulted(self, request: web.Request, entry: LoggedRequest, fault: CountedRestFault) -> web.StreamResponse:
        match fault:
            case kinds.RestThrottle():
                return self._settle(entry, too_many(fault.body, fault.retry_after))
            case kinds.RestUnauthorized():
                return self._settle(entry, unauthorized())
            case kinds.RestNotFound():
                return self._settle(entry, not_found(_product_in(request.path)))
            case kinds.RestInternal():
                return self._settle(entry, error(500, "INTERNAL", "internal error"))
            case kinds.RestBadGateway():
                return self._settle(entry, bad_gateway())
            case kinds.RestHang():
                await asyncio.sleep(fault.seconds)
                return _cut(request)
            case kinds.RestTruncated():
                return await self._half(request, entry, await self._reply(request))
        return self._settle(entry, await self._reply(request, other_product=True))

    async def _reply(self, request: web.Request, *, other_product: bool = False) -> Reply:
        if self._requests.wait_s(request.remote or ""):
            return too_many()
        if request.method != "GET":
            return Reply(405, b"Method Not Allowed", "text/plain")
        path = self._acting_for_another(request.path) if other_product else request.path
        query = {name: request.query.getall(name) for name in request.query}
        fresh = "no-cache" in request.headers.get("cache-control", "")
        if path.endswith(("/products", "/exchange-rates")) or request.query.get("granularity") in _SLOW:
            # Takes up to a fraction of a second: not on the loop that feeds the sockets.
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, lambda: self.rest.answer(path, query, fresh=fresh)
            )
        return self.rest.answer(path, query, fresh=fresh)

    def _acting_for_another(self, path: str) -> str:
        """`path` with another online product instead of its own."""
        now_ms = self.clock.now_ms()
        others = (n for n in self.trade_log.products if self.trade_log.is_online(n, now_ms) and f"/{n}/" not in path)
        parts, other = path.split("/"), next(others, None)
        return "/".join(other if other and "-" in part else part for part in parts)

    def _settle(self, entry: LoggedRequest, reply: Reply) -> web.Response:
        entry.status = reply.status
        entry.note = entry.note or reply.note
        return _response(reply)

    async def _half(self, request: web.Request, entry: LoggedRequest, reply: Reply) -> web.StreamResponse:
        """Announce the whole body, send half of it."""
        entry.status = reply.status
        response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
        response.content_type = reply.content_type
        response.content_length = len(reply.body)
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response


def _limit(per_second: float) -> KeyedRateLimit:
    """The exchange's limit per address: `per_second`, and at most one second's worth at once."""
    return KeyedRateLimit(per_second, burst_s=max(1.0, 1 / per_second), max_keys=MAX_ADDRESSES)


def _response(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status, body=reply.body, content_type=reply.content_type, headers=dict(reply.headers)
    )


def _product_in(path: str) -> str:
    return next((part for part in path.split("/") if "-" in part), "")


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=504)
