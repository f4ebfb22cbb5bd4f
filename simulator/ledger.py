"""The ledger: every REST request and WebSocket connection since the start, to check limits."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass

MAX_ENTRIES = 200_000


@dataclass(slots=True)
class LoggedRequest:
    """One REST request. `status` is None until it is answered; `note` names the fault that answered it."""

    monotonic_s: float
    exchange_ms: int
    method: str
    path: str
    query: str
    address: str
    status: int | None = None
    note: str = ""


@dataclass(slots=True)
class SocketEvent:
    """An event of a WebSocket connection: opened, refused, message or closed."""

    monotonic_s: float
    exchange_ms: int
    connection: int
    event: str
    detail: str = ""


class Ledger:
    """Bounded: the oldest entries are dropped; totals count all. Safe to read from any thread."""

    def __init__(self, now_ms: Callable[[], int], max_entries: int = MAX_ENTRIES) -> None:
        self._now_ms = now_ms
        self._requests: deque[LoggedRequest] = deque(maxlen=max_entries)
        self._sockets: deque[SocketEvent] = deque(maxlen=max_entries)
        self._lock = threading.Lock()
        self.requests_total = 0
        self.frames_total = 0
        self.frames_dropped = 0

    def request(self, method: str, path: str, query: str, address: str) -> LoggedRequest:
        """Record a request as it arrives; the caller fills in its status."""
        entry = LoggedRequest(time.monotonic(), self._now_ms(), method, path, query, address)
        with self._lock:
            self._requests.append(entry)
            self.requests_total += 1
        return entry

    def socket(self, connection: int, event: str, detail: str = "") -> None:
        entry = SocketEvent(time.monotonic(), self._now_ms(), connection, event, detail)
        with self._lock:
            self._sockets.append(entry)

    @property
    def requests(self) -> list[LoggedRequest]:
        with self._lock:
            return list(self._requests)

    @property
    def sockets(self) -> list[SocketEvent]:
        with self._lock:
            return list(self._sockets)

    def most_in(self, seconds: float) -> int:
        """The largest number of requests that arrived within any `seconds` of real time."""
        times = [r.monotonic_s for r in self.requests]
        most = first = 0
        for last, at in enumerate(times):
            while times[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def as_dict(self, since_s: float = 0.0) -> dict[str, object]:
        """The totals, and the entries after the monotonic time `since_s`, as JSON values."""
        return {
            "monotonic_s": time.monotonic(),
            "requests_total": self.requests_total,
            "most_requests_in_one_second": self.most_in(1.0),
            "frames_total": self.frames_total,
            "frames_dropped": self.frames_dropped,
            "requests": [asdict(r) for r in self.requests if r.monotonic_s > since_s],
            "websocket": [asdict(s) for s in self.sockets if s.monotonic_s > since_s],
        }
