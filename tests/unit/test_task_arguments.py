"""Any client of the queue can send any arguments: a task refuses wrong ones before it does anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from tests.unit.exchange.coinbase.test_hostile_frames import json_values
from workers.app import app, context
from workers.arguments import UpdateWork, parsed

app.loader.import_default_modules()
TASKS = sorted(name for name in app.tasks if name.startswith("workers."))

CHANGED = ["BTC-USD", "5m", 1_769_093_400, 1_769_093_400]

WRONG: dict[str, list[dict[str, Any]]] = {
    "workers.indicators.update": [
        {},
        {"changed": None},
        {"changed": "BTC-USD"},
        {"changed": [CHANGED] * 1001},
        {"changed": [CHANGED[:3]]},
        {"changed": [["btc-usd", *CHANGED[1:]]]},
        {"changed": [["BTC-USD\n", *CHANGED[1:]]]},
        {"changed": [["*-USD", *CHANGED[1:]]]},
        {"changed": [["BTC-USD", "7m", *CHANGED[2:]]]},
        {"changed": [[*CHANGED[:3], 2**32]]},
        {"changed": [[*CHANGED[:3], -300]]},
        {"changed": [[*CHANGED[:3], 1.5]]},
    ],
    "workers.alerts.deliver": [{"channel": name} for name in ("", "A", "a b", "a\n", "../a", "a" * 41, 7, ["a"])],
    "workers.backfill.scan": [{"now": value} for value in ("maybe", 2, None, [])],
    "workers.backfill.reconcile": [{"now": value} for value in ("maybe", 2, None, [])],
    "workers.backfill.drain": [{"now": True}],
}
OF_ANY: list[dict[str, Any]] = [{"exchange": "kraken"}, {"exchange": None}, {"no_such": 1}]


def refusal(task: str, arguments: dict[str, Any]) -> str:
    """Why `task` refuses `arguments`; it has not requested a connection by then."""
    before = context.cache_info()
    with pytest.raises(InvalidInput) as caught:
        app.tasks[task](**arguments)
    assert context.cache_info() == before
    return str(caught.value)


def test_every_task_is_here() -> None:
    assert sorted(WRONG) == TASKS


@pytest.mark.parametrize(("task", "arguments"), [(t, a) for t in TASKS for a in [*WRONG[t], *OF_ANY]], ids=repr)
def test_wrong_arguments_are_refused_by_name(task: str, arguments: dict[str, Any]) -> None:
    message = refusal(task, arguments)
    assert message.startswith("task arguments are wrong: ")
    assert next(iter(arguments), "changed") in message
    assert len(message) < 600


@pytest.mark.parametrize("task", TASKS)
@given(st.dictionaries(st.text(max_size=9), json_values, max_size=3), st.text(min_size=1, max_size=9))
def test_unknown_argument_names_are_refused(task: str, arguments: dict[str, Any], name: str) -> None:
    refusal(task, {**arguments, f"x{name}": 1})


ELEMENTS = [["BTC-USD", "5m", 300, 600], ["FOO-BAR-USD", "1h", 3600, 3600], [f"{'X' * 60}-USD", "1d", 86_400, 86_400]]


@given(st.lists(st.sampled_from(ELEMENTS) | json_values, min_size=1, max_size=9))
def test_one_bad_series_is_dropped_without_its_task(changed: list[Any]) -> None:
    good = [t for t in changed if t in ELEMENTS]
    try:
        work = parsed(UpdateWork, {"changed": changed})
    except InvalidInput:
        assert not good
        return
    assert [list(t) for t in work.as_ranges()] == good
    assert len(work.changed.bad) == len(changed) - len(good)
    assert all(len(reason) < 300 for reason in work.changed.bad)
