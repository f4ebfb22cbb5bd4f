"""When the threads of connections read together, and when none of them may wait."""

from __future__ import annotations

import threading

import pytest

from app.exchange.wakeups import SharedWakeup
from tests.unit.exchange.coinbase.venue import BTC, T, Venue, row


def test_all_wake_at_the_same_moments() -> None:
    slept: list[float] = []
    for now_s in (10.0, 10.25, 10.75):
        with SharedWakeup(0.5, clock=lambda now_s=now_s: now_s, sleep=slept.append).wait():  # type: ignore[misc]
            pass
    assert slept == [0.5, 0.25, 0.25]


def test_one_thread_has_its_turn_at_a_time() -> None:
    turns, inside, most = SharedWakeup(0.5, sleep=lambda _: None), 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with turns.wait():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_a_stuck_thread_blocks_no_other() -> None:
    turns = SharedWakeup(0.5, sleep=lambda _: None)
    with turns.wait(), turns.wait():
        pass
    with turns.wait():
        pass


@pytest.mark.parametrize(
    ("at", "expected"), [(T + 50, False), (T + 297, False), (T + 298, True), (T + 301, True), (T + 302, False)]
)
def test_no_frame_waits_while_a_bucket_may_close(at: float, expected: bool) -> None:
    venue = Venue()
    assert venue.session.expects_closes, "the time is not known yet"
    venue.ack(BTC)
    venue.update(row(T), at=T + 20)
    venue.beats_until(at, every_s=1)
    assert venue.session.expects_closes is expected


def test_the_end_of_a_bucket_is_near_by_the_pace_of_the_exchange() -> None:
    venue = Venue()
    venue.update(row(T), at=T + 20)
    venue.beats_until(T + 140, every_s=60)
    assert not venue.session.expects_closes
    venue.beats_until(T + 200, every_s=60)
    assert venue.session.expects_closes
    venue.beats_until(T + 220, every_s=1)
    assert not venue.session.expects_closes


def test_no_frame_waits_after_a_break() -> None:
    venue = Venue()
    venue.update(row(T), at=T + 20)
    venue.close()
    venue.open()
    assert venue.session.expects_closes
    venue.beat(T + 100)
    assert not venue.session.expects_closes
