"""Detects a stalled channel, as opposed to quiet products. Learns from silences that ended."""

from __future__ import annotations

_MIN_MS = 10_000
_FIRST_EXPECTED_MS = 8_000
_MAX_EXPECTED_MS = 300_000
_MARGIN = 3
_REAL_MS = 5_000
"""At 60 times the pace ten exchange seconds pass between two frames: real time must pass as well."""
_HALVING_MS = 3_600_000


class Silence:
    """The silence of one channel, in exchange time, and its limit."""

    def __init__(self) -> None:
        self.expected_ms = float(_FIRST_EXPECTED_MS)
        self.since_exchange_ms: int | None = None  # when the silence began; None before the first frame
        self._since_local_ms = 0
        self._halve_at_exchange_ms: int | None = None

    @property
    def limit_ms(self) -> float:
        return max(_MIN_MS, _MARGIN * self.expected_ms)

    def forget(self) -> None:
        """The connection ended: the silence until the next one does not count."""
        self.since_exchange_ms = None

    def begin(self, exchange_ms: int, local_ms: int) -> None:
        """Measure from here, without learning from the time before."""
        self.since_exchange_ms, self._since_local_ms = exchange_ms, local_ms

    def ended(self, exchange_ms: int, local_ms: int) -> None:
        """A frame of the channel arrived."""
        self._halve(exchange_ms)
        if self.since_exchange_ms is not None and exchange_ms - self.since_exchange_ms > self.expected_ms:
            self.expected_ms = min(_MAX_EXPECTED_MS, exchange_ms - self.since_exchange_ms)
        self.begin(exchange_ms, local_ms)

    def is_dead(self, exchange_ms: int, local_ms: int) -> bool:
        if self.since_exchange_ms is None:
            return False
        return exchange_ms - self.since_exchange_ms > self.limit_ms and local_ms - self._since_local_ms > _REAL_MS

    def reconnecting(self) -> None:
        """Reconnecting because of it. If the products were only quiet, wait twice as long the next time."""
        self.expected_ms = min(_MAX_EXPECTED_MS, 2 * self.expected_ms)

    def _halve(self, exchange_ms: int) -> None:
        """Halve the learnt silence every hour."""
        at_ms = self._halve_at_exchange_ms
        if at_ms is None or not at_ms - _HALVING_MS <= exchange_ms < at_ms:
            if at_ms is not None and exchange_ms >= at_ms:
                self.expected_ms /= 2 ** min(1 + (exchange_ms - at_ms) // _HALVING_MS, 64)
            self._halve_at_exchange_ms = exchange_ms + _HALVING_MS
