"""Delivery is asked for at once, not at every message, and never not at all."""

from __future__ import annotations

from app.delivery.delivery_trigger import TRIGGER_EVERY_S, DeliveryTrigger


class Uncovered:
    """Who is asked, at times that we set."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.counts: list[int] = []
        self.asking = DeliveryTrigger(self.counts.append, lambda: self.now_s)


def test_the_first_message_does_not_wait() -> None:
    asked = Uncovered()
    asked.asking.found(3)
    assert asked.counts == [3]


def test_more_of_them_wait_for_their_turn_or_the_end() -> None:
    asked = Uncovered()
    for _ in range(5):
        asked.asking.found(1)
    assert asked.counts == [1]
    asked.now_s += 2 * TRIGGER_EVERY_S
    asked.asking.found(1)
    assert asked.counts == [1, 5]
    asked.asking.found(2)
    asked.asking.flush()
    assert asked.counts == [1, 5, 2]


def test_nothing_is_asked_for_nothing() -> None:
    asked = Uncovered()
    asked.asking.flush()
    asked.asking.found(1)
    asked.asking.flush()
    assert asked.counts == [1]
