"""The list of all faults of the local exchange, and the active ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count as counter
from typing import Annotated, Any, TypeVar, get_args

from pydantic import Field, TypeAdapter, ValidationError

from app.errors import InvalidInput
from simulator import rest_faults as rest
from simulator import stream_faults as stream
from simulator.fault import CountedFault, Fault

MAX_ACTIVE = 1_000

AnyFault = Annotated[
    stream.DropFrames | stream.DuplicateFrames | stream.ReorderFrames | stream.EarlyTimestamps
    | stream.LoseTrades | stream.HeartbeatJump | stream.FreezeChannel | stream.FreezeSocket
    | stream.HalfOpen | stream.RefuseConnections | stream.Trickle | stream.Snapshot | stream.HeartbeatText
    | stream.ClientId | stream.NoFinalUpdate | stream.Close | stream.Reset | stream.CutFrame | stream.RestartFromZero
    | stream.Garbage | stream.SnapshotStorm | stream.StaleUpdate | stream.Revise | stream.ListProduct
    | stream.DelistProduct
    | rest.RestThrottle | rest.RestUnauthorized | rest.RestNotFound | rest.RestInternal | rest.RestBadGateway
    | rest.RestHang | rest.RestTruncated | rest.RestWrongProduct | rest.RestLatency | rest.RestLate | rest.RestStale
    | rest.RestAlternate | rest.RestTime | rest.RestShort | rest.RestEmpty | rest.RestHalf | rest.RestHoles
    | rest.RestOddRow,
    Field(discriminator="fault"),
]  # fmt: skip
_ADAPTER: TypeAdapter[Fault] = TypeAdapter(AnyFault)
BY_NAME: dict[str, type[Fault]] = {
    get_args(kind.model_fields["fault"].annotation)[0]: kind for kind in get_args(get_args(AnyFault)[0])
}
"""Every fault by its name."""

F = TypeVar("F", bound=Fault)


def parse(body: object) -> Fault:
    """The fault that `body` describes. Raises `InvalidInput`, which lists the known names or the invalid parameters."""
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
    """An active fault. `left`: how many times it still applies; None: until its end."""

    number: int
    fault: Fault
    until: float
    left: int | None


class Faults:
    """The active faults; acts are never active. Safe to use from any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._active: list[Active] = []
        self._numbers = counter(1)
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Active:
        left = None
        if isinstance(fault, CountedFault):
            left = fault.count if fault.count or fault.for_seconds else 1
        until = float("inf") if fault.for_seconds is None else self._monotonic() + fault.for_seconds
        active = Active(next(self._numbers), fault, until, left)
        with self._lock:
            if len(self._active) >= MAX_ACTIVE:
                raise InvalidInput(f"{MAX_ACTIVE} faults are active already: delete some")
            self._active.append(active)
        return active

    def remove(self, name: str | None = None) -> int:
        """Remove all faults, or all called `name`; returns how many."""
        with self._lock:
            kept = [a for a in self._active if name is not None and a.fault.fault != name]
            removed = len(self._active) - len(kept)
            self._active = kept
        return removed

    def active(self) -> list[Active]:
        """The faults that are active now."""
        now = self._monotonic()
        with self._lock:
            if self._active:
                self._active = [a for a in self._active if a.until > now and (a.left is None or a.left > 0)]
            return list(self._active)

    def find(self, kind: type[F], applies: Callable[[F], bool] = lambda _: True) -> F | None:
        """The newest active fault of `kind` that `applies`; None if there is none."""
        if not self._active:
            return None
        found = (a.fault for a in reversed(self.active()) if isinstance(a.fault, kind))
        return next((fault for fault in found if applies(fault)), None)

    def take(self, kind: type[F], applies: Callable[[F], bool]) -> F | None:
        """Like `find`, but the oldest one, and it then applies one time less."""
        if not self._active:
            return None
        for active in self.active():
            if isinstance(active.fault, kind) and applies(active.fault) and self._spend(active):
                return active.fault
        return None

    def _spend(self, active: Active) -> bool:
        """Count `active` down; returns whether it still applied. (Two threads answer requests.)"""
        with self._lock:
            if active.left is None:
                return True
            active.left -= 1
            return active.left >= 0

    def __bool__(self) -> bool:
        return bool(self._active)
