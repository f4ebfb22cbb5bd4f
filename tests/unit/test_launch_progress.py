"""Output of the launcher while it waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.launch.exits import ExitReports
from app.launch.progress import COMPLETE, READY, Progress, history, readiness


@pytest.mark.parametrize(
    ("start", "line"),
    [
        (
            {"series_ready": 28, "series_total": 150, "requests_left": 120, "seconds_left": 24.4},
            "first candles: 30 of 150 series, about 24 s left",
        ),
        ({"requests_left": 120, "series_total": 150, "seconds_left": None}, "first candles: 30 of 150 series"),
        ({"series_ready": 123, "series_total": 125, "requests_left": 0}, COMPLETE),
        ({"requests_left": 0, "series_total": 0}, None),
        ({"requests_left": "x"}, None),
        ([], None),
        (None, None),
    ],
)
def test_history(start: object, line: str | None) -> None:
    assert history(start) == line


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ((200, {}), READY),
        ((200, {"summary": "All 3 products complete and current (2 checks with REST under way)"}), READY),
        (
            (200, {"summary": "2 of 3 products complete and current (1 series is out of date: A-USD 5m: …)"}),
            "ready: 2 of 3 products complete and current",
        ),
        ((503, {"reason": "no network"}), "not ready: no network"),
        ((503, {"reasons": ["a", "b"]}), "not ready: a; b"),
        ((503, {}), None),
        (None, None),
    ],
)
def test_readiness(answer: tuple[int, Mapping[str, Any]] | None, line: str | None) -> None:
    assert readiness(answer) == line


def test_a_state_is_printed_once_and_changes_at_most_every_few_seconds() -> None:
    answers: dict[str, tuple[int, Mapping[str, Any]]] = {}
    progress = Progress("http://web", "http://flower", answers.get)
    assert progress.lines(0.0) == []
    answers["http://flower/healthcheck"] = (200, {})
    answers["http://web/v1/status"] = (200, {"start": {"requests_left": 8, "series_total": 9}})
    assert progress.lines(1.0) == [
        "dashboard answers: http://web",
        "first candles: 1 of 9 series",
        "Flower answers: http://flower",
    ]
    answers["http://web/v1/status"] = (200, {"start": {"requests_left": 7, "series_total": 9}})
    assert progress.lines(2.0) == []
    assert progress.lines(7.0) == ["first candles: 2 of 9 series"]
    assert progress.lines(99.0) == []
    answers["http://web/v1/status"] = (200, {"start": {"requests_left": 0, "series_total": 9}})
    assert progress.lines(100.0) == [COMPLETE]
    answers["http://web/v1/status"] = (200, {"start": {"requests_left": 1, "series_total": 9}})
    assert progress.lines(200.0) == []


def test_a_reason_shown_by_the_start_is_not_repeated() -> None:
    reasons = ["still starting: 1 of 9", "the exchange does not answer"]
    answer = (503, {"reasons": reasons})
    assert readiness(answer, {"text": "1 of 9"}) == "not ready: the exchange does not answer"
    assert readiness((503, {"reasons": reasons[:1]}), {"text": "1 of 9"}) is None


def test_a_loss_of_readiness_is_printed_at_once() -> None:
    answers: dict[str, tuple[int, Mapping[str, Any]]] = {"http://web/v1/status": (200, {"start": {"text": "1 of 9"}})}
    progress = Progress("http://web", "http://flower", answers.get)
    answers["http://web/readyz"] = (503, {"reasons": ["still starting: 1 of 9"]})
    assert progress.lines(0.0) == ["dashboard answers: http://web"]
    answers["http://web/readyz"] = (200, {})
    assert progress.lines(1.0) == [READY]
    answers["http://web/readyz"] = (503, {"reasons": ["still starting: 1 of 9"]})
    assert progress.lines(2.0) == ["not ready: still starting: 1 of 9"], "its data was lost"
    answers["http://web/readyz"] = (503, {"reasons": ["another reason"]})
    assert progress.lines(3.0) == []
    answers["http://web/readyz"] = (200, {})
    assert progress.lines(4.0) == [READY]


def test_problems_are_printed_at_intervals_and_their_end_at_once() -> None:
    answers: dict[str, tuple[int, Mapping[str, Any]]] = {"http://web/v1/status": (200, {})}
    progress = Progress("http://web", "http://flower", answers.get)
    answers["http://web/readyz"] = (503, {"reasons": ["a"]})
    assert progress.lines(0.0) == ["dashboard answers: http://web", "not ready: a"]
    answers["http://web/readyz"] = (503, {"reasons": ["b"]})
    assert progress.lines(1.0) == []
    assert progress.lines(31.0) == ["not ready: b"]
    answers["http://web/readyz"] = (200, {})
    assert progress.lines(32.0) == ["ready: every series is up to date"]
    answers["http://web/readyz"] = (503, {"reasons": ["b"]})
    assert progress.lines(33.0) == []


def test_products_that_are_set_apart_or_come_back_are_counted_at_intervals() -> None:
    answers: dict[str, tuple[int, Mapping[str, Any]]] = {"http://web/v1/status": (200, {})}
    progress = Progress("http://web", "http://flower", answers.get)
    some = "ready: 2 of 3 products complete and current"
    answers["http://web/readyz"] = (200, {"summary": some.removeprefix("ready: ")})
    assert progress.lines(0.0) == ["dashboard answers: http://web", some]
    answers["http://web/readyz"] = (200, {"summary": "All 3 products complete and current"})
    assert progress.lines(31.0) == [READY]
    answers["http://web/readyz"] = (200, {"summary": some.removeprefix("ready: ")})
    assert progress.lines(32.0) == []
    assert progress.lines(62.0) == [some]


def test_exits_are_reported_less_and_less_often() -> None:
    reports = ExitReports()
    assert not reports.is_due(0, 0.0)
    assert reports.is_due(1, 2.0)
    assert not reports.is_due(1, 3.0)  # the same exit
    assert not reports.is_due(2, 4.0)  # shortly after the last report
    assert reports.is_due(2, 20.0)
    assert not reports.is_due(3, 40.0)
    assert reports.is_due(3, 50.0)
    assert not reports.is_due(3, 999.0)
