"""Fields that several rows have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, TypeVar, cast

from pydantic import Field, GetPydanticSchema
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from app.indicators.stages import Stage
from app.market.timeframes import Timeframe

Row = TypeVar("Row")

# In JSON they are plain strings; OpenAPI lists the members of the enum.
TimeframeName: TypeAlias = Annotated[str, GetPydanticSchema(lambda _, schema_of: schema_of(Timeframe))]
StageName: TypeAlias = Annotated[str, GetPydanticSchema(lambda _, schema_of: schema_of(Stage))]

Product: TypeAlias = Annotated[str, Field(examples=["BTC-USD"])]


class SeriesFields(TypedDict):
    exchange: Annotated[str, Field(examples=["coinbase"])]
    product: Product
    timeframe: TimeframeName


class Bucket(TypedDict):
    start: Annotated[int, Field(description="Start of the bucket, UNIX seconds.", examples=[1738324800])]


class DataAnswer(TypedDict, total=False):
    stale: Annotated[
        str, Field(description="Why the answer may be old: it was read from a replica of Redis. Absent otherwise.")
    ]


def part_of(value: Mapping[str, Any], row: type[Row]) -> Row:
    """The fields of `value` that `row` has, in the order of `row`."""
    return cast(Row, {name: value[name] for name in row.__annotations__ if name in value})
