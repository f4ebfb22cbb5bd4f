"""One WebSocket connection: its sequence, its subscriptions, and its outgoing frames."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import deque

from aiohttp import WSMsgType, web

from simulator import frames
from simulator.faults import Faults
from simulator.ledger import Ledger
from simulator.options import Options
from simulator.stream_faults import (
    ClientId,
    CountedFrameFault,
    DropFrames,
    DuplicateFrames,
    FreezeChannel,
    FreezeSocket,
    ReorderFrames,
    Trickle,
)

_ABRUPT = 1006  # never on the wire: means "no close frame"


class Connection:
    """Frames are numbered and queued by `send`, and written by `run`, so a slow reader blocks no other connection."""

    def __init__(self, number: int, request: web.Request, options: Options, faults: Faults, ledger: Ledger) -> None:
        self.number = number
        self.address = request.remote or ""
        self.subscriptions: dict[str, dict[str, None]] = {}
        self.subscribed = False
        self.half_open = False
        self.last_frame_s = time.monotonic()
        self.ws = web.WebSocketResponse(autoping=True, compress=options.deflate, max_msg_size=1 << 20, timeout=1.0)
        self._request = request
        self._options = options
        self._faults = faults
        self._ledger = ledger
        self._sequence = 0
        self._outbox: deque[tuple[bytes, WSMsgType]] = deque()
        self._waiting_bytes = 0
        self._closing = False
        self._held: str | None = None
        self._wake = asyncio.Event()

    def wants(self, channel: str, product: str) -> bool:
        return product in self.subscriptions.get(channel, ())

    def send(
        self, channel: str, timestamp: str, events: str, *, subscription: str | None = None, product: str = ""
    ) -> None:
        """Queue a data frame. `channel`: its name on the wire; `subscription`: in subscriptions, if different."""
        wanted = subscription or channel
        if self._is_frozen(wanted, product):
            return
        sequence = self._sequence
        self._sequence += 1
        if self._is_full() or self._fault(DropFrames, wanted):
            self._ledger.frames_dropped += 1
            return
        client_id = self._options.client_id or self._faults.find(ClientId) is not None
        frame = frames.envelope(channel, timestamp, sequence, events, client_id=client_id)
        if self._held is None and self._fault(ReorderFrames, wanted):
            self._held = frame
            return
        self._queue(frame)
        if self._fault(DuplicateFrames, wanted):
            self._queue(frame)
        if self._held is not None:
            held, self._held = self._held, None
            self._queue(held)

    def send_raw(self, data: bytes, *, binary: bool = False) -> None:
        """Queue a frame without a sequence number."""
        if not self._is_full() and not self._faults.find(FreezeSocket):
            self._put(data, WSMsgType.BINARY if binary else WSMsgType.TEXT)

    def _queue(self, frame: str) -> None:
        self._ledger.frames_total += 1
        self.last_frame_s = time.monotonic()
        self._put(frame.encode(), WSMsgType.TEXT)

    def _put(self, data: bytes, kind: WSMsgType) -> None:
        self._outbox.append((data, kind))
        self._waiting_bytes += len(data)
        self._wake.set()

    def _is_full(self) -> bool:
        return self._waiting_bytes >= self._options.outbox_bytes

    def _is_frozen(self, channel: str, product: str) -> bool:
        if not self._faults:
            return False
        return self._faults.find(FreezeSocket) is not None or bool(
            self._faults.find(FreezeChannel, lambda f: f.channel == channel and f.product in (None, product))
        )

    def _fault(self, kind: type[CountedFrameFault], channel: str) -> bool:
        return bool(self._faults) and self._faults.take(kind, lambda f: f.channel in (None, channel)) is not None

    async def run(self) -> None:
        """Write queued frames until cancelled or disconnected."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._outbox and not self.half_open:
                    data, kind = self._outbox.popleft()
                    self._waiting_bytes -= len(data)
                    if slow := self._faults.find(Trickle):
                        await asyncio.sleep(len(data) / slow.bytes_per_second)
                    await self.ws.send_frame(data, kind)
        except ConnectionError:
            if not self._closing:
                self.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """Close the connection; `code` 1006 cuts it."""
        self._closing = True
        self._ledger.socket(self.number, "closing", f"{code} {reason}".strip())
        if code == _ABRUPT or self.half_open:
            self.abort()
        else:
            await self.ws.close(code=code, message=reason.encode())

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        if self._request.transport is not None:
            self._request.transport.abort()

    def reset(self) -> None:
        """Cut the connection with a TCP reset."""
        transport = self._request.transport
        if transport is not None and (line := transport.get_extra_info("socket")) is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def cut_frame(self) -> None:
        """Announce a frame of 4,096 bytes, send its beginning, and cut the connection."""
        transport = self._request.transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(struct.pack("!BBH", 0x81, 126, 4096) + b'{"channel":"candles","client_id":"')
            transport.close()

    def go_half_open(self) -> None:
        """Neither send nor read from now on."""
        self.half_open = True
        transport = self._request.transport
        if isinstance(transport, asyncio.ReadTransport):
            transport.pause_reading()
