"""Faults: validated, counted, bounded in time."""

from __future__ import annotations

import pytest

from app.errors import InvalidInput
from simulator.faults import BY_NAME, MAX_ACTIVE, Faults, catalogue, parse
from simulator.ledger import Ledger
from simulator.rest_faults import RestLate
from simulator.stream_faults import DropFrames, FreezeSocket


class Hand:
    """A monotonic clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_every_fault_has_a_description_and_its_name_makes_it() -> None:
    required = {"product": "BTC-USD", "start": 300}
    for name, kind in BY_NAME.items():
        wanted = {key: value for key, value in required.items() if key in kind.model_fields}
        assert isinstance(parse({"fault": name, **wanted}), kind)
        assert catalogue()[name]["meaning"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (None, "unknown fault None: use one of drop_frames, "),
        ([], "unknown fault None"),
        ({"fault": "explode"}, "unknown fault 'explode'"),
        ({"fault": "drop_frames", "count": 0}, "fault drop_frames: count: "),
        ({"fault": "drop_frames", "cuont": 3}, "cuont: Extra inputs"),
        ({"fault": "rest_late", "for_seconds": -1}, "for_seconds"),
        ({"fault": "revise", "product": "BTC-USD"}, "start: Field required"),
        ({"fault": "garbage", "kind": "soup"}, "kind: Input should be 'not_json'"),
    ],
)
def test_a_wrong_fault_is_refused_with_the_valid_values(body: object, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        parse(body)


def test_a_fault_with_a_count_strikes_that_often() -> None:
    faults = Faults()
    faults.add(DropFrames(fault="drop_frames", count=2, channel="candles"))
    faults.add(DropFrames(fault="drop_frames"))
    taken = [faults.take(DropFrames, lambda f: f.channel == "candles") for _ in range(3)]
    assert [fault is not None for fault in taken] == [True, True, False]
    assert faults.take(DropFrames, lambda _: True) is not None
    assert faults.take(DropFrames, lambda _: True) is None
    assert faults.active() == []


def test_a_fault_ends_with_its_time_or_when_it_is_taken_back() -> None:
    hand = Hand()
    faults = Faults(hand)
    faults.add(FreezeSocket(fault="freeze_socket", for_seconds=5))
    faults.add(RestLate(fault="rest_late"))
    faults.add(DropFrames(fault="drop_frames", for_seconds=5))
    assert all(faults.take(DropFrames, lambda _: True) for _ in range(10))
    hand.now = 6
    assert faults.find(FreezeSocket) is None
    assert faults.take(DropFrames, lambda _: True) is None
    assert faults.find(RestLate) is not None
    assert faults.remove("freeze_socket") == 0
    assert faults.remove() == 1
    assert faults.find(RestLate) is None


def test_there_is_a_limit_to_faults_in_force() -> None:
    faults = Faults()
    for _ in range(MAX_ACTIVE):
        faults.add(FreezeSocket(fault="freeze_socket"))
    with pytest.raises(InvalidInput, match="delete some"):
        faults.add(FreezeSocket(fault="freeze_socket"))


def test_the_ledger_counts_all_and_keeps_the_newest() -> None:
    ledger = Ledger(lambda: 5, max_entries=3)
    for n in range(5):
        ledger.request("GET", f"/{n}", "", "a")
    assert [r.path for r in ledger.requests] == ["/2", "/3", "/4"]
    assert ledger.requests_total == 5
    assert ledger.most_in(60.0) == 3
    assert ledger.as_dict(since_s=float("inf"))["requests"] == []
