"""Validation of task arguments, before any work starts."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from app.errors import InvalidInput
from app.market.product_ids import ProductId
from app.market.timeframes import Timeframe
from app.storage.changed_ranges import ChangedRange

Start = Annotated[int, Field(gt=0, lt=2**32)]
Element: TypeAlias = tuple[ProductId, Timeframe, Start, Start]

MAX_SERIES = 1000
"""Series per task."""


class Work(BaseModel):
    """Arguments common to all tasks."""

    model_config = ConfigDict(extra="forbid")

    exchange: Literal["coinbase"] = "coinbase"


class Elements(NamedTuple):
    """`good`: valid elements of a task; `bad`: the error of each invalid one."""

    good: list[Element]
    bad: list[str]


class UpdateWork(Work):
    """One invalid series does not stop the others of its task. A task with only invalid ones is refused."""

    changed: Elements

    @field_validator("changed", mode="plain")
    @classmethod
    def _sorted_out(cls, value: object) -> Elements:
        try:
            return Elements(_ALL.validate_python(value), [])
        except ValidationError as error:
            elements = value if isinstance(value, list) and len(value) <= MAX_SERIES else []
            bad = {e["loc"][0]: _reason(e) for e in error.errors(include_url=False) if e["loc"]}
            good = [element for i, element in enumerate(elements) if i not in bad]
            if not good:
                raise
            return Elements(_ALL.validate_python(good), list(bad.values()))

    def as_ranges(self) -> list[ChangedRange]:
        return [ChangedRange(*t) for t in self.changed.good]


_ALL = TypeAdapter(Annotated[list[Element], Field(max_length=MAX_SERIES)])


class DeliverWork(Work):
    channel: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")] | None = None


class ScanWork(Work):
    now: bool = False


def parsed(model: type[Work], arguments: dict[str, Any]) -> Any:
    """The validated arguments; `InvalidInput` names each wrong one."""
    try:
        return model(**arguments)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise InvalidInput(f"task arguments are wrong: {wrong}") from error


def _reason(error: Any) -> str:
    """The error of an element, with as much of it as a log line may show."""
    return f"{ascii(error['input'])[:80]}: {error['msg'].removeprefix('Value error, ')}"
