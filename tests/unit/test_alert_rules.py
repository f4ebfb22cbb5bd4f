"""The alert rules against the recorded traces of an existing system, and on bars of our own."""

from __future__ import annotations

from typing import Any

import pytest

from app.alerts.bars import Bars
from app.alerts.rules import LevelRule, PriceRule, ReversalRule, Rule, StageRule
from app.alerts.settings import BUILT_IN
from app.indicators.stages import Stage
from tests.recorded import recorded

COOLDOWN_S = 300
RULES = [settings.rule() for settings in BUILT_IN.rule]


def bars_of(steps: list[dict[str, Any]]) -> Bars:
    return Bars(
        [s["t"] for s in steps],
        [1.0] * len(steps),
        [s["macdV"] for s in steps],
        [s["histogram"] for s in steps],
        [None] * len(steps),
    )


def event_names(rule: Rule, bars: Bars, cooldown_s: int = COOLDOWN_S) -> list[str | None]:
    return [event.name if event else None for event in rule.raised(bars, cooldown_s)]


def values(*macdv: float | None, histogram: float = 0.0) -> Bars:
    """Bars of 5m."""
    n = len(macdv)
    return Bars([300 * i for i in range(n)], [1.0] * n, macdv, [histogram] * n, [None] * n)


def names(step: dict[str, Any]) -> list[str]:
    """The events of a step of the trace, as our names."""
    return [f"{a['args'][2]:g} {a['args'][3]}" if a["kind"] == "level" else a["args"][2] for a in step["alerts"]]


def test_the_traces_hold_except_for_the_flag_that_outlived_its_zone() -> None:
    for case, steps in recorded("alert_rules").items():
        expected = [names(step) for step in steps]
        if case == "reversal_flag_survives_leaving_the_zone":
            assert expected[6] == []
            expected[6] = ["oversold"]  # at 700 s: another visit of the zone, and the cooldown is over
        bars = bars_of(steps)
        found = zip(*(event_names(rule, bars) for rule in RULES), strict=True)
        assert [[name for name in step if name] for step in found] == expected, case


def test_a_reversal_has_its_buffer() -> None:
    steps = recorded("alert_rules")["reversal_overbought"]
    events = list(RULES[1].raised(bars_of(steps), COOLDOWN_S))
    assert [e.detail["buffer"] for e in events if e] == [pytest.approx(steps[3]["alerts"][0]["args"][5])]


def test_a_cooldown_hides_a_repetition_but_no_deeper_level() -> None:
    bars = values(-140, -160, -140, -160, -210, -140, -160)
    assert event_names(LevelRule([-150, -200]), bars, 3 * 300) == [
        None,
        "-150 down",
        None,
        None,
        "-200 down",
        None,
        "-150 down",
    ]


def test_a_hidden_event_does_not_prolong_the_cooldown() -> None:
    bars = values(-140, -160, -140, -160, -140, -160)
    assert event_names(LevelRule([-150]), bars, 4 * 300)[3:] == [None, None, "-150 down"]


def test_a_level_is_crossed_only_outwards() -> None:
    rule = LevelRule([-150, 150])
    assert event_names(rule, values(-200, -100, 0, 100, 200, 100, -200), 0) == [
        None,
        None,
        None,
        None,
        "150 up",
        None,
        "-150 down",
    ]


def test_a_reversal_hidden_by_the_cooldown_is_raised_when_that_is_over() -> None:
    rule = ReversalRule(150, 5, 3)
    bars = values(-160, -170, 0, -160, -170, -170, histogram=20)
    assert event_names(rule, bars, 4 * 300) == [None, "oversold", None, None, None, "oversold"]


def test_another_side_is_another_visit() -> None:
    rule = ReversalRule(150, 5, 3)
    histograms = [0.0, 20.0, 20.0, 0.0, -20.0]
    bars = Bars([300 * i for i in range(5)], [1.0] * 5, [-160, -170, -170, 200, 200], histograms, [None] * 5)
    assert event_names(rule, bars) == [None, "oversold", None, None, "overbought"]


def test_a_bar_without_a_value_is_skipped() -> None:
    assert event_names(LevelRule([-150]), values(-140, None, -160)) == [None, None, "-150 down"]
    assert event_names(LevelRule([-150]), values(None, -160)) == [None, None]


def test_stages_that_are_not_selected_raise_nothing() -> None:
    stages = [None, Stage.RALLYING, Stage.RALLYING, Stage.OVERBOUGHT, Stage.RETRACING]
    bars = Bars([300 * i for i in range(5)], [1.0] * 5, [100.0] * 5, [0.0] * 5, stages)
    assert event_names(StageRule(Stage, Stage), bars) == [
        None,
        None,
        None,
        "rallying to overbought",
        "overbought to retracing",
    ]
    assert event_names(StageRule(Stage, [Stage.RETRACING]), bars)[3:] == [None, "overbought to retracing"]
    assert event_names(StageRule([Stage.RALLYING], Stage), bars)[3:] == ["rallying to overbought", None]


def test_a_price_is_crossed_either_way_and_reaching_it_is_not_crossing() -> None:
    closes = [99.0, 100.0, 101.0, 100.0, 99.0]
    bars = Bars([300 * i for i in range(5)], closes, [None] * 5, [None] * 5, [None] * 5)
    assert event_names(PriceRule([100], ["up", "down"]), bars) == [None, None, "100 up", None, "100 down"]
    assert event_names(PriceRule([100], ["down"]), bars) == [None, None, None, None, "100 down"]


@pytest.mark.parametrize("rule", RULES)
def test_the_events_of_a_bar_do_not_depend_on_later_ones(rule: Rule) -> None:
    steps = [140, 180, 210, 190, 120, 160, 260, 140, -160, -170, -100, -180]
    histograms = [9, 8, 7, -9, -8, -7, -20, 0, 20, 20, 30, 30]
    whole = Bars([300 * i for i in range(12)], [1.0] * 12, steps, histograms, [None] * 12)
    for n in range(1, 13):
        part = Bars(whole.start_s[:n], whole.close[:n], whole.macdv[:n], whole.histogram[:n], whole.stage[:n])
        last = rule.newest_raised(part, COOLDOWN_S)
        assert (last.name if last else None) == event_names(rule, whole)[n - 1]
