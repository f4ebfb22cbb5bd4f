"""What tasks may be called with. Anything else is refused before anything happens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.errors import InvalidInput
from app.timeframes import Timeframe
from app.touched import Touched

Product = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9.]{1,20}-[A-Z0-9]{2,10}$")]
Start = Annotated[int, Field(gt=0, lt=2**32)]


class Work(BaseModel):
    """Arguments of every task."""

    model_config = ConfigDict(extra="forbid")

    exchange: Literal["coinbase"] = "coinbase"


class UpdateWork(Work):
    touched: list[tuple[Product, Timeframe, Start, Start]] = Field(max_length=1000)

    def as_touched(self) -> list[Touched]:
        return [Touched(*t) for t in self.touched]


class DeliverWork(Work):
    channel: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")] | None = None


class ScanWork(Work):
    now: bool = False


def parsed(model: type[Work], arguments: dict[str, Any]) -> Any:
    """The validated arguments; `InvalidInput` says which one is wrong."""
    try:
        return model(**arguments)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
        raise InvalidInput(f"task arguments are wrong: {wrong}") from error
