"""Which processes are taken for stuck."""

from __future__ import annotations

from app.pulse import Mark
from app.watchdog import STILL_S, Standstill
from workers.pulse import STUCK_S, Consumption

INGEST, WEB = Mark(7, "ingest", 1, "100"), Mark(8, "web", 1, "100")


def test_a_process_whose_mark_stands_still_is_found_and_no_other() -> None:
    standstill = Standstill()
    assert standstill.of([INGEST, WEB], 0) == []
    assert standstill.of([INGEST, WEB._replace(beats=2)], STILL_S) == []
    assert standstill.of([INGEST, WEB._replace(beats=3)], STILL_S + 1) == [INGEST]
    assert standstill.of([WEB._replace(beats=4)], STILL_S + 2) == []


def test_a_new_process_with_an_old_number_begins_anew() -> None:
    standstill = Standstill()
    standstill.of([INGEST], 0)
    again = INGEST._replace(born="999")
    assert standstill.of([again], STILL_S + 1) == []
    assert standstill.of([again], 2 * STILL_S + 2) == [again]


def test_nobody_is_blamed_for_the_time_in_which_nothing_could_be_written() -> None:
    standstill = Standstill()
    standstill.of([INGEST], 0)
    standstill.forget()
    assert standstill.of([INGEST], STILL_S + 1) == []


def test_a_worker_is_stuck_when_tasks_wait_and_it_takes_none() -> None:
    consumption = Consumption(0)
    assert not consumption.is_stuck(1, 10)
    assert not consumption.is_stuck(1, 10 + STUCK_S)
    assert consumption.is_stuck(1, 11 + STUCK_S)
    consumption.received_s = 11 + STUCK_S
    assert not consumption.is_stuck(1, 12 + STUCK_S)


def test_a_worker_for_which_nothing_waits_is_not_stuck() -> None:
    consumption = Consumption(0)
    assert not consumption.is_stuck(0, 1_000)
    assert not consumption.is_stuck(3, 1_001), "only now there is something"
    assert not consumption.is_stuck(0, 1_020)
    assert not consumption.is_stuck(3, 1_021 + STUCK_S)
