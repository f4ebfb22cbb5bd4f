"""Base classes of the local exchange's faults. A fault is data: a name and its parameters.

Three kinds. An *act* happens at once (close, garbage, revise). A *lasting* fault is active until it is removed or
`for_seconds` have passed (freeze, half-open, late REST). A *counted* fault applies to the next `count` frames or
requests (drop, duplicate, throttle); with `for_seconds` and no `count`, to all of them in that time.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Fault(BaseModel):
    """Parameters of every fault. `for_seconds` is real time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: str
    for_seconds: float | None = Field(None, gt=0, le=86_400)


class Act(Fault):
    """Happens at once."""


class LastingFault(Fault):
    """Active until it is deleted or its time is over."""


class CountedFault(Fault):
    """Applies to the next `count` frames or requests."""

    count: int | None = Field(None, ge=1, le=1_000_000)
