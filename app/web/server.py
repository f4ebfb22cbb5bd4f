"""The web process: serves until a signal, then shuts down cleanly."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from contextlib import suppress

import uvicorn
from redis.exceptions import RedisError

from app.bind_checks import check_web
from app.context import Context
from app.errors import InvalidInput
from app.settings import Settings
from app.storage.address import netloc
from app.storage.connection import connect
from app.storage.heartbeats import Heartbeat
from app.web.app import create_app
from app.web.headers import HEADERS
from app.web.protocol import BoundedProtocol
from app.web.stream.hub import Hub

log = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 1.5
"""If Redis hangs, an answer takes at most twice as long."""

BACKLOG = 1024

TICKS_PER_HEARTBEAT = 20
"""The server's loop ticks ten times per second."""

DEAF_MS = 60_000
"""A client that accepts no data for this long is disconnected (by the kernel, if it supports that)."""


def main(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Raises `InvalidInput` if the address cannot, or must not, be listened on."""
    check_web(settings)
    with listen(settings.web_host, settings.web_port) as listener:
        url, connections = settings.redis.url, settings.redis_connections
        context = Context(settings, connect(url, timeout_s=REDIS_TIMEOUT_S, connections=connections))
        # The server raises the signal again after it has ended; then there is nothing left to do.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        log.info("serving on http://%s", netloc(settings.web_host, listener.getsockname()[1]))
        server = WebServer(context)
        gc.freeze()  # imported objects stay: to scan them all would delay some answer by 50 ms
        server.run(sockets=[listener])
        log.info("ended")
    return 0


class WebServer(uvicorn.Server):
    """Serves the application of `create_app`. On shutdown it ends the streams, which would never end."""

    def __init__(self, context: Context) -> None:
        app = create_app(context)
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                loop="uvloop",
                log_config=None,  # logs like every process
                log_level="warning",
                access_log=False,
                server_header=False,
                headers=list(HEADERS.items()),
                lifespan="off",
                timeout_graceful_shutdown=5,
            )
        )
        self.hub: Hub = app.state.hub
        self._heartbeat = Heartbeat(context.redis, "web")

    async def on_tick(self, counter: int) -> bool:
        if counter % TICKS_PER_HEARTBEAT == 0:
            asyncio.get_running_loop().run_in_executor(None, self._beat)
        return await super().on_tick(counter)

    def _beat(self) -> None:
        with suppress(RedisError):
            self._heartbeat.beat()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.hub.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `InvalidInput` if that is impossible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )[0]
        # The protocol is named: else asyncio leaves Nagle's algorithm on, and every answer waits 40 ms.
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAF_MS)
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        return listener
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise InvalidInput(
            f"cannot listen on {host} port {port}: {reason}; set CANDLEWICK_WEB_HOST and CANDLEWICK_WEB_PORT "
            "to a free address"
        ) from None
