"""What the running system says of itself over HTTP, in lines for a person who waits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

TIMEOUT_SECONDS = 2.0
LINE_EVERY_SECONDS = 5.0
_opener = build_opener(ProxyHandler({}))  # these are this machine's own processes: no proxy stands between


class Answer(Protocol):
    """Asks a URL: (HTTP status, JSON object, empty where the body is something else), or None where nobody answers."""

    def __call__(self, url: str, /) -> tuple[int, Mapping[str, Any]] | None: ...


def ask(url: str) -> tuple[int, Mapping[str, Any]] | None:
    """An `Answer` over the network; reads at most 1 MB."""
    try:
        with _opener.open(url, timeout=TIMEOUT_SECONDS) as response:
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
    """From answers to lines; says a thing once, and again only when it has changed."""

    def __init__(self, web_url: str, flower_url: str, answer: Answer = ask) -> None:
        self._web = web_url
        self._flower = flower_url
        self._answer = answer
        self._said: dict[str, str] = {}
        self._said_s: dict[str, float] = {}

    def lines(self, now_s: float) -> list[str]:
        """What is new at `now_s` (seconds of any steady clock)."""
        status = self._answer(f"{self._web}/v1/status")
        found = {"web": f"dashboard answers: {self._web}" if status else None}
        if "flower" not in self._said:
            found["flower"] = f"Flower answers: {self._flower}" if self._answer(f"{self._flower}/healthcheck") else None
        if status:
            found["start"] = history(status[1].get("start"))
            found["ready"] = readiness(self._answer(f"{self._web}/readyz"))
        return [line for topic, line in found.items() if line and self._is_news(topic, line, now_s)]

    def _is_news(self, topic: str, line: str, now_s: float) -> bool:
        recent = now_s - self._said_s.get(topic, float("-inf")) < LINE_EVERY_SECONDS
        if self._said.get(topic) == line or recent:
            return False
        self._said[topic], self._said_s[topic] = line, now_s
        return True


def history(start: object) -> str | None:
    """How far the start is, from status' `start` object; None where it does not say."""
    if not isinstance(start, dict):
        return None
    ready, total = start.get("series_ready"), start.get("series_total")
    if not isinstance(ready, int) or not isinstance(total, int) or total == 0:
        return None
    if ready >= total:
        return f"history is complete: {total} series"
    left = [f"{start[key]:.0f} {unit}" for key, unit in _LEFT if isinstance(start.get(key), int | float)]
    return f"history: {ready} of {total} series" + (f"; left: {', '.join(left)}" if left else "")


_LEFT = (("requests_left", "requests"), ("seconds_left", "s"))


def readiness(answer: tuple[int, Mapping[str, Any]] | None) -> str | None:
    """Whether the system is ready, or why not, from `/readyz`."""
    if answer is None:
        return None
    status, body = answer
    if status == 200:
        return "ready"
    reasons = next((body[key] for key in ("reasons", "reason", "detail", "problems") if body.get(key)), None)
    if reasons is None:
        return None
    return "not ready: " + ("; ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons))
