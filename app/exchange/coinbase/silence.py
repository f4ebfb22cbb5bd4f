"""When is a channel dead, rather than its products quiet? Learnt from the silences that ended by themselves."""

from __future__ import annotations

_MIN_MS = 10_000
_FIRST_EXPECTED_MS = 8_000
_MAX_EXPECTED_MS = 300_000
_MARGIN = 3
_REAL_MS = 5_000
"""At 60 times the pace ten exchange seconds pass between two frames: real time has to pass as well."""
_HALVING_MS = 3_600_000


class Silence:
    """How long one channel has been silent, in exchange time, and how long it may be."""

    def __init__(self) -> None:
        self.expected_ms = float(_FIRST_EXPECTED_MS)
        self._since_ms: int | None = None
        self._since_now_ms = 0
        self._halve_at_ms: int | None = None

    @property
    def since_ms(self) -> int | None:
        """Exchange time of the channel's last sign of life; None before the first."""
        return self._since_ms

    @property
    def limit_ms(self) -> float:
        return max(_MIN_MS, _MARGIN * self.expected_ms)

    def forget(self) -> None:
        """The connection ended: the silence until the next one says nothing."""
        self._since_ms = None

    def begin(self, exchange_ms: int, now_ms: int) -> None:
        """Measure from here, without a lesson from what was before."""
        self._since_ms, self._since_now_ms = exchange_ms, now_ms

    def ended(self, exchange_ms: int, now_ms: int) -> None:
        """The channel spoke."""
        self._halve(exchange_ms)
        if self._since_ms is not None and exchange_ms - self._since_ms > self.expected_ms:
            self.expected_ms = min(_MAX_EXPECTED_MS, exchange_ms - self._since_ms)
        self.begin(exchange_ms, now_ms)

    def is_dead(self, exchange_ms: int, now_ms: int) -> bool:
        if self._since_ms is None:
            return False
        return exchange_ms - self._since_ms > self.limit_ms and now_ms - self._since_now_ms > _REAL_MS

    def reconnecting(self) -> None:
        """We reconnect because of it. If the products were merely quiet, wait twice as long the next time."""
        self.expected_ms = min(_MAX_EXPECTED_MS, 2 * self.expected_ms)

    def _halve(self, exchange_ms: int) -> None:
        """Forget half of what was learnt, every hour."""
        at_ms = self._halve_at_ms
        if at_ms is None or not at_ms - _HALVING_MS <= exchange_ms < at_ms:
            if at_ms is not None and exchange_ms >= at_ms:
                self.expected_ms /= 2 ** min(1 + (exchange_ms - at_ms) // _HALVING_MS, 64)
            self._halve_at_ms = exchange_ms + _HALVING_MS
