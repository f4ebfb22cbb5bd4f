"""What every fault of the local exchange has in common. A fault is data: a name and its parameters.

Three kinds. An *act* happens at once (close, garbage, revise). A *state* holds until it is taken back or
`for_seconds` have passed (freeze, half-open, late REST). A *toll* is taken from the next `count` frames or requests
(drop, duplicate, throttle); with `for_seconds` and no `count`, from all of them in that time.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Fault(BaseModel):
    """What every fault may say. `for_seconds` is real time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: str
    for_seconds: float | None = Field(None, gt=0, le=86_400)


class Act(Fault):
    """Happens at once."""


class LastingFault(Fault):
    """Holds until it is deleted or its time is over."""


class CountedFault(Fault):
    """Taken from the next ones, then gone."""

    count: int | None = Field(None, ge=1, le=1_000_000)
