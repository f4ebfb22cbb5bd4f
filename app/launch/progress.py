"""Status of the running system over HTTP, as lines for a waiting user."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

TIMEOUT_S = 2.0
HISTORY_EVERY_S = 5.0
TROUBLE_EVERY_S = 30.0
READY = "ready: every series is up to date"
COMPLETE = "every series has its first candles; older ones follow"
_opener = build_opener(ProxyHandler({}))  # local processes: no proxy


class Answer(Protocol):
    """Requests a URL: (HTTP status, JSON object, empty if the body is not one), or None without a response."""

    def __call__(self, url: str, /) -> tuple[int, Mapping[str, Any]] | None: ...


def ask(url: str) -> tuple[int, Mapping[str, Any]] | None:
    """An `Answer` over the network; reads at most 1 MB."""
    try:
        with _opener.open(url, timeout=TIMEOUT_S) as response:
            return response.status, _object(response.read(1 << 20))
    except HTTPError as error:
        with error:
            return error.code, _object(error.read(1 << 20))
    except (OSError, HTTPException):
        return None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Progress:
    """Turns responses into lines; repeats a line only after a change."""

    def __init__(self, web_url: str, flower_url: str, answer: Answer = ask) -> None:
        self._web = web_url
        self._flower = flower_url
        self._answer = answer
        self._printed: dict[str, str] = {}
        self._printed_s: dict[str, float] = {}
        self._was_ready = False

    @property
    def is_web_up(self) -> bool:
        """Whether the web server has answered."""
        return "web" in self._printed

    @property
    def trouble(self) -> str | None:
        """The last line about what is not ready."""
        return self._printed.get("trouble")

    def lines(self, now_s: float) -> list[str]:
        """Lines that are new at `now_s` (seconds of any steady clock)."""
        status = self._answer(f"{self._web}/v1/status")
        found: list[tuple[str, str | None, float]] = []
        if status:
            start = status[1].get("start")
            found.append(("web", f"dashboard answers: {self._web}", 0.0))
            if self._printed.get("history") != COMPLETE:
                found.append(("history", history(start), HISTORY_EVERY_S))
            known = None if self._was_ready else start  # later, history is not reported
            found.append(("trouble", readiness(self._answer(f"{self._web}/readyz"), known), TROUBLE_EVERY_S))
        if "flower" not in self._printed and self._answer(f"{self._flower}/healthcheck"):
            found.append(("flower", f"Flower answers: {self._flower}", 0.0))
        return [line for topic, line, every_s in found if line and self._is_new(topic, line, now_s, every_s)]

    def _is_new(self, topic: str, line: str, now_s: float, every_s: float) -> bool:
        recent = now_s - self._printed_s.get(topic, float("-inf")) < every_s
        printed = self._printed.get(topic)
        is_ready = line.startswith("ready:")
        is_good = line == COMPLETE or (is_ready and not (printed or "").startswith("ready:"))
        if printed == line or (recent and not is_good):
            return False
        self._was_ready |= is_ready
        self._printed[topic] = line
        if not is_good:  # the next line follows at once
            self._printed_s[topic] = now_s
        return True


def history(start: object) -> str | None:
    """Progress of the start, from status' `start` object; None if unknown."""
    if not isinstance(start, dict):
        return None
    left, total = start.get("requests_left"), start.get("series_total")
    if not isinstance(left, int) or not isinstance(total, int) or total == 0:
        return None
    if left == 0:
        return COMPLETE
    seconds = start.get("seconds_left")
    rest = f", about {seconds:.0f} s left" if isinstance(seconds, int | float) else ""
    return f"first candles: {total - left} of {total} series{rest}"


def readiness(answer: tuple[int, Mapping[str, Any]] | None, start: object = None) -> str | None:
    """Whether the system is ready, or why not, from `/readyz`; a reason in `start` is left out."""
    if answer is None:
        return None
    status, body = answer
    if status == 200:
        count = str(body.get("summary", "All")).partition(" (")[0]
        return READY if count.startswith("All") else f"ready: {count}"
    text = start.get("text") if isinstance(start, dict) else None
    reasons = [reason for reason in _reasons(body) if not (text and str(text) in reason)]
    return f"not ready: {'; '.join(reasons)}" if reasons else None


def _reasons(body: Mapping[str, Any]) -> list[str]:
    found: object = next((body[key] for key in ("reasons", "reason", "detail") if body.get(key)), [])
    return [str(reason) for reason in found] if isinstance(found, list) else [str(found)]
