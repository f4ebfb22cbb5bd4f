"""Every way in which the local exchange can fail on purpose. A fault is data: a name and its parameters.

Three kinds. An *act* happens at once (close, garbage, revise). A *state* holds until it is taken back or
`for_seconds` have passed (freeze, half-open, late REST). A *toll* is taken from the next `count` frames or requests
(drop, duplicate, throttle); with `for_seconds` and no `count`, from all of them in that time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count as counter
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import InvalidInput

MAX_ACTIVE = 1_000

ChannelName = Literal["candles", "heartbeats", "market_trades", "ticker", "ticker_batch", "status", "level2"]
GarbageKind = Literal[
    "not_json", "not_an_object", "wrong_types", "nan", "deep_nesting", "huge_number", "five_megabytes", "binary",
    "invalid_utf8", "unknown_channel", "error_frame", "high_below_low", "misaligned", "unknown_product", "old_snapshot",
]  # fmt: skip


class Fault(BaseModel):
    """What every fault may say. `for_seconds` is real time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: str
    for_seconds: float | None = Field(None, gt=0, le=86_400)


class Act(Fault):
    """Happens at once."""


class State(Fault):
    """Holds until it is deleted or its time is over."""


class Toll(Fault):
    """Taken from the next ones, then gone."""

    count: int | None = Field(None, ge=1, le=1_000_000)


class FrameToll(Toll):
    """`channel`: frames of this one only."""

    channel: ChannelName | Literal["subscriptions"] | None = None


class DropFrames(FrameToll):
    """Do not send the next frames, but count their sequence numbers."""

    fault: Literal["drop_frames"]


class DuplicateFrames(FrameToll):
    """Send the next frames twice, with the same sequence number."""

    fault: Literal["duplicate_frames"]


class ReorderFrames(FrameToll):
    """Send each of the next frames after the one that follows it."""

    fault: Literal["reorder_frames"]


class FreezeChannel(State):
    """One channel falls silent, for all products or one; heartbeats and the others live on."""

    fault: Literal["freeze_channel"]
    channel: ChannelName = "candles"
    product: str | None = None


class FreezeSocket(State):
    """Nothing is sent any more; the connection stays open and answers pings."""

    fault: Literal["freeze_socket"]


class HalfOpen(State):
    """The present connections neither send nor read nor answer any more; they are reset when it ends."""

    fault: Literal["half_open"]


class RefuseConnections(State):
    """New WebSocket connections are answered with an HTTP status; 0 cuts the line instead."""

    fault: Literal["refuse_connections"]
    status: int = Field(503, ge=0, le=599)


class Trickle(State):
    """Every connection carries no more than so many bytes a second."""

    fault: Literal["trickle"]
    bytes_per_second: int = Field(2_000, ge=1, le=10_000_000)


class Snapshot(State):
    """Snapshots of candles have other holes, another order, or no open bucket."""

    fault: Literal["snapshot"]
    hole_rate: float | None = Field(None, ge=0, le=1)
    order: Literal["newest", "oldest", "shuffled"] | None = None
    includes_open: bool | None = None


class HeartbeatText(State):
    """The heartbeat counter is a string."""

    fault: Literal["heartbeat_text"]


class ClientId(State):
    """Every frame has an empty `client_id`."""

    fault: Literal["client_id"]


class NoFinalUpdate(State):
    """A bucket's last state is not sent at its boundary."""

    fault: Literal["no_final_update"]


class Close(Act):
    """Close every connection with a code; 1006 cuts the line without a close frame."""

    fault: Literal["close"]
    code: int = Field(1001, ge=1000, le=4999)
    reason: str = Field("", max_length=120)


class Reset(Act):
    """Reset the TCP connection of every WebSocket."""

    fault: Literal["reset"]


class CutFrame(Act):
    """Begin a frame on every WebSocket, and end the line in the middle of it."""

    fault: Literal["cut_frame"]


class Garbage(Act):
    """Send frames that no client expects."""

    fault: Literal["garbage"]
    kind: GarbageKind = "not_json"
    count: int = Field(1, ge=1, le=1_000)


class SnapshotStorm(Act):
    """Send the candle snapshots of every subscribed product again, `count` times."""

    fault: Literal["snapshot_storm"]
    count: int = Field(1, ge=1, le=20)


class StaleUpdate(Act):
    """Send an early state of a bucket again: of the open one (0), or of one that many buckets back."""

    fault: Literal["stale_update"]
    product: str
    buckets_back: int = Field(1, ge=0, le=100)


class Revise(Act):
    """A late trade changes a 5m bucket that is over, for the stream, REST and truth alike.

    `start`: UNIX seconds. `price`: units of the product's price increment (default: 2 % above the high).
    """

    fault: Literal["revise"]
    product: str
    start: int = Field(gt=0)
    price: int | None = Field(None, gt=0, lt=2**53)
    announce: bool = True


class ListProduct(Act):
    """A product that was not listed trades from now on."""

    fault: Literal["list_product"]
    product: str


class DelistProduct(Act):
    """A product ends trading now."""

    fault: Literal["delist_product"]
    product: str


class RestToll(Toll):
    """`path`: only requests whose path contains this (`candles`, `BTC-USD`, `time`)."""

    path: str = Field("", max_length=200)


class RestThrottle(RestToll):
    """Answer 429."""

    fault: Literal["rest_429"]
    body: Literal["json", "html", "empty"] = "json"
    retry_after: float | str | None = None


class RestUnauthorized(RestToll):
    """Answer 401, as the exchange once did when it meant 429."""

    fault: Literal["rest_401"]


class RestInternal(RestToll):
    """Answer 500 with JSON."""

    fault: Literal["rest_500"]


class RestBadGateway(RestToll):
    """Answer 502 with a page of HTML."""

    fault: Literal["rest_502"]


class RestHang(RestToll):
    """Do not answer for `seconds` of real time, then cut the line."""

    fault: Literal["rest_hang"]
    seconds: float = Field(60.0, gt=0, le=3_600)


class RestTruncated(RestToll):
    """Send half of the answer, then cut the line."""

    fault: Literal["rest_truncated"]


class RestWrongProduct(RestToll):
    """Answer candles of another product."""

    fault: Literal["rest_wrong_product"]


class RestLate(State):
    """REST leaves a closed bucket out until `seconds` of exchange time after its end."""

    fault: Literal["rest_late"]
    seconds: float = Field(30.0, gt=0, le=86_400)
    product: str | None = None


class RestStale(State):
    """REST tells a closed bucket as it was at its half, until `seconds` of exchange time after its end."""

    fault: Literal["rest_stale"]
    seconds: float = Field(30.0, gt=0, le=86_400)
    product: str | None = None


AnyFault = Annotated[
    DropFrames | DuplicateFrames | ReorderFrames | FreezeChannel | FreezeSocket | HalfOpen | RefuseConnections
    | Trickle | Snapshot | HeartbeatText | ClientId | NoFinalUpdate | Close | Reset | CutFrame | Garbage
    | SnapshotStorm | StaleUpdate
    | Revise | ListProduct | DelistProduct | RestThrottle | RestUnauthorized | RestInternal | RestBadGateway | RestHang
    | RestTruncated | RestWrongProduct | RestLate | RestStale,
    Field(discriminator="fault"),
]  # fmt: skip
_ADAPTER: TypeAdapter[Fault] = TypeAdapter(AnyFault)
BY_NAME: dict[str, type[Fault]] = {
    get_args(kind.model_fields["fault"].annotation)[0]: kind for kind in get_args(get_args(AnyFault)[0])
}
"""Every fault by its name."""

F = TypeVar("F", bound=Fault)


def parse(body: object) -> Fault:
    """The fault that `body` describes. `InvalidInput` lists the known names, or what is wrong with a parameter."""
    name = body.get("fault") if isinstance(body, Mapping) else None
    if name not in BY_NAME:
        raise InvalidInput(f"unknown fault {name!r}: use one of {', '.join(BY_NAME)}")
    try:
        return _ADAPTER.validate_python(body)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc'][1:])) or name}: {e['msg']}" for e in error.errors())
        raise InvalidInput(f"fault {name}: " + "; ".join(problems)) from None


def catalogue() -> dict[str, dict[str, Any]]:
    """Every fault by name, with its meaning and parameters."""
    return {
        name: {
            "meaning": (kind.__doc__ or "").strip(),
            "parameters": [field for field in kind.model_fields if field != "fault"],
        }
        for name, kind in BY_NAME.items()
    }


@dataclass(slots=True)
class Active:
    """A fault in force. `left`: how many times it still applies; None for as long as it lasts."""

    number: int
    fault: Fault
    until: float
    left: int | None


class Faults:
    """The faults in force, except acts, which leave nothing behind. Safe to use from any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._active: list[Active] = []
        self._numbers = counter(1)
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Active:
        left = None
        if isinstance(fault, Toll):
            left = fault.count if fault.count or fault.for_seconds else 1
        until = float("inf") if fault.for_seconds is None else self._monotonic() + fault.for_seconds
        active = Active(next(self._numbers), fault, until, left)
        with self._lock:
            if len(self._active) >= MAX_ACTIVE:
                raise InvalidInput(f"{MAX_ACTIVE} faults are in force already; delete some")
            self._active.append(active)
        return active

    def remove(self, name: str | None = None) -> int:
        """Take back all faults, or those called `name`; returns how many."""
        with self._lock:
            kept = [a for a in self._active if name is not None and a.fault.fault != name]
            removed = len(self._active) - len(kept)
            self._active = kept
        return removed

    def active(self) -> list[Active]:
        """Those in force now."""
        now = self._monotonic()
        with self._lock:
            if self._active:
                self._active = [a for a in self._active if a.until > now and a.left != 0]
            return list(self._active)

    def find(self, kind: type[F], applies: Callable[[F], bool] = lambda _: True) -> F | None:
        """The newest fault of `kind` in force that `applies`."""
        if not self._active:
            return None
        found = (a.fault for a in reversed(self.active()) if isinstance(a.fault, kind))
        return next((fault for fault in found if applies(fault)), None)

    def take(self, kind: type[F], applies: Callable[[F], bool]) -> F | None:
        """Like `find`, for the oldest one, and it then applies one time less."""
        if not self._active:
            return None
        for active in self.active():
            if isinstance(active.fault, kind) and applies(active.fault):
                if active.left is not None:
                    active.left -= 1
                return active.fault
        return None

    def __bool__(self) -> bool:
        return bool(self._active)
