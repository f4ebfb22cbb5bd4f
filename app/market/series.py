"""A series: one timeframe of one product of one exchange."""

from __future__ import annotations

from typing import NamedTuple

from app.market.timeframes import Timeframe


class Series(NamedTuple):
    exchange: str
    product: str
    timeframe: Timeframe

    def __str__(self) -> str:
        return f"{self.product} {self.timeframe}"

    def at(self, timeframe: Timeframe) -> Series:
        """The same product in another timeframe."""
        return Series(self.exchange, self.product, timeframe)
