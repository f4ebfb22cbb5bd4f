"""Answers that only the API has: errors, and its own state. Made without validation, as `app.wire`."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict


class ErrorInfo(TypedDict):
    code: Annotated[str, Field(description="For programs.", examples=["invalid_input"])]
    message: Annotated[str, Field(description="For people: the problem, and how to correct it.")]
    retry_after_s: NotRequired[Annotated[int, Field(description="Seconds after which the same request may work.")]]


class ErrorAnswer(TypedDict):
    error: ErrorInfo


class Alive(TypedDict):
    status: Literal["alive"]


class ReadinessAnswer(TypedDict):
    ready: bool
    summary: str
    reasons: list[str]
