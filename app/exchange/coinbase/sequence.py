"""The exchange's sequence numbers: one counter per connection, over all channels."""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum, auto

_REMEMBERED = 64
"""Frames whose content is remembered: only the same content is a repetition."""


class Order(Enum):
    """The position of a frame in its connection."""

    NEXT = auto()
    DUPLICATE = auto()
    AFTER_GAP = auto()
    MISNUMBERED = auto()
    """An old number, but not the frame that had it: its content cannot be ordered."""


class Sequence:
    """Finds lost and repeated frames. A connection may begin with any number."""

    def __init__(self) -> None:
        self.gaps = 0
        self.duplicates = 0
        self.is_dense = True
        """Whether every number of this connection followed the one before."""
        self._expected: int | None = None
        self._received: OrderedDict[int, int] = OrderedDict()

    def restart(self) -> None:
        """A new connection."""
        self.is_dense = True
        self._expected = None
        self._received.clear()

    def accept(self, number: int, data: str | bytes) -> Order:
        """Judge the frame `data` with this number."""
        expected, content = self._expected, hash(data)
        if expected is not None and number < expected:
            if self._received.get(number) == content:
                self.duplicates += 1
                return Order.DUPLICATE
            self._count_gap()
            return Order.MISNUMBERED
        self._expected = number + 1
        self._received[number] = content
        if len(self._received) > _REMEMBERED:
            self._received.popitem(last=False)
        if expected is None or number == expected:
            return Order.NEXT
        self._count_gap()
        return Order.AFTER_GAP

    def _count_gap(self) -> None:
        self.gaps += 1
        self.is_dense = False
