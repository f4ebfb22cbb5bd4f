"""Delivery is triggered at once, not at every message, and never missed."""

from __future__ import annotations

from app.delivery.delivery_trigger import TRIGGER_EVERY_S, DeliveryTrigger


class Calls:
    """A trigger and its calls, on a clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.counts: list[int] = []
        self.trigger = DeliveryTrigger(self.counts.append, lambda: self.now_s)


def test_the_first_message_does_not_wait() -> None:
    calls = Calls()
    calls.trigger.found(3)
    assert calls.counts == [3]


def test_more_of_them_wait_for_their_turn_or_the_end() -> None:
    calls = Calls()
    for _ in range(5):
        calls.trigger.found(1)
    assert calls.counts == [1]
    calls.now_s += 2 * TRIGGER_EVERY_S
    calls.trigger.found(1)
    assert calls.counts == [1, 5]
    calls.trigger.found(2)
    calls.trigger.flush()
    assert calls.counts == [1, 5, 2]


def test_nothing_is_triggered_without_messages() -> None:
    calls = Calls()
    calls.trigger.flush()
    calls.trigger.found(1)
    calls.trigger.flush()
    assert calls.counts == [1]
