"""Every error response, in one shape: `{"error": {"code", "message", "retry_after_s"?}}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from app.errors import CandlewickError, InvalidInput, Unready
from app.query.lookup import NotFollowed
from app.storage.master import EXPLAINED
from app.web.answers import json_answer
from app.web.schemas import ErrorAnswer, ErrorInfo

log = logging.getLogger(__name__)

RETRY_AFTER_S = 1
"""Delay until a client may retry after an outage."""


def error_answer(
    status: int, code: str, message: str, *, retry_after_s: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    error: ErrorInfo = {"code": code, "message": message}
    all_headers = dict(headers or {})
    if retry_after_s is not None:
        error["retry_after_s"] = retry_after_s
        all_headers["Retry-After"] = str(retry_after_s)
    answer: ErrorAnswer = {"error": error}
    return json_answer(answer, status, all_headers)


def install(app: FastAPI) -> None:
    """Make `app` answer every exception in that shape."""
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(CandlewickError, _own_error)
    app.add_exception_handler(RedisError, _redis_away)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)


def _invalid_request(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return error_answer(400, "invalid_input", "; ".join(_problem(e) for e in error.errors()[:5]))


def _problem(error: Mapping[str, object]) -> str:
    """One of pydantic's errors as a sentence that begins with the parameter's name."""
    place = error["loc"]
    names = [part for part in place if isinstance(part, str)] if isinstance(place, tuple) else []
    name = names[-1] if names else "request"  # an index may follow the name
    if error["type"] == "extra_forbidden":
        return f"{name[:40]}: no such parameter; see /docs"
    if error["type"] == "value_error":
        return f"{name}: {str(error['msg']).removeprefix('Value error, ')}"
    return f"{name}: {error['msg']} (got {repr(error['input'])[:60]})"


def _own_error(_: Request, error: Exception) -> Response:
    if isinstance(error, NotFollowed):
        return error_answer(404, "not_followed", str(error))
    if isinstance(error, InvalidInput):
        return error_answer(400, "invalid_input", str(error))
    if isinstance(error, Unready):
        return error_answer(503, "not_ready", str(error), retry_after_s=RETRY_AFTER_S)
    return error_answer(503, "unavailable", str(error), retry_after_s=RETRY_AFTER_S)


def _redis_away(_: Request, error: Exception) -> Response:
    log.warning("cannot read from Redis: %s", error)
    message = str(error) if isinstance(error, EXPLAINED) else "cannot read from Redis"
    return error_answer(503, "redis_unavailable", message, retry_after_s=RETRY_AFTER_S)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
    message = str(error.detail)
    if error.status_code == 404:
        message = f"no route at {request.url.path[:80]}; see /docs"
    if error.status_code == 405:
        message = f"{request.method[:20]} is not allowed: this API is read-only"
    return error_answer(error.status_code, code, message, headers=error.headers)


def _bug(_: Request, error: Exception) -> Response:
    # The server logs the traceback; the client gets only the type.
    return error_answer(500, "internal_error", f"internal error ({type(error).__name__}): see the log of the server")
