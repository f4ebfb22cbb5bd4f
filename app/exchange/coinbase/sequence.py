"""The exchange's sequence numbers: one counter per connection, over all channels."""

from __future__ import annotations

from enum import Enum, auto


class Order(Enum):
    """Position of a frame in its connection."""

    NEXT = auto()
    DUPLICATE = auto()
    AFTER_GAP = auto()


class Sequence:
    """Finds lost and repeated frames. Each connection may begin with any number."""

    def __init__(self) -> None:
        self.gaps = 0
        self.duplicates = 0
        self._expected: int | None = None

    def restart(self) -> None:
        self._expected = None

    def accept(self, number: int) -> Order:
        """Classify the frame with `number`."""
        expected = self._expected
        if expected is not None and number < expected:
            self.duplicates += 1
            return Order.DUPLICATE
        self._expected = number + 1
        if expected is None or number == expected:
            return Order.NEXT
        self.gaps += 1
        return Order.AFTER_GAP
