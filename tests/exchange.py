"""A test's handle on the local exchange in a process of its own: truth, listing, ledger, faults."""

from __future__ import annotations

from typing import Any, NamedTuple

import requests

from app.market.timeframes import Timeframe
from tests.support import PATIENCE_S

CHANGES_TRUTH = ("revise", "list_product", "delist_product")
"""Faults that change past candles or the listing."""


class Bar(NamedTuple):
    """The true content of a bucket: prices, volume, and whether there were trades."""

    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: bool


class Truth(NamedTuple):
    """The buckets with trades, by start, from `first_s` to `last_s`."""

    first_s: int
    last_s: int
    bars: dict[int, Bar]


class Exchange:
    """Client for truth and faults over HTTP; neither limited nor recorded in the ledger."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.port = port
        self.rest_url = f"http://{host}:{port}"
        self.ws_url = f"ws://{host}:{port}"
        self._known: dict[tuple[str, Timeframe], Truth] = {}

    def get(self, path: str, **params: object) -> Any:
        answer = requests.get(self.rest_url + path, params=params, timeout=PATIENCE_S)  # type: ignore[arg-type]
        answer.raise_for_status()
        return answer.json()

    def inject(self, fault: str, **params: object) -> None:
        """Switch a fault on; docs/local-exchange.md lists the names."""
        answer = requests.post(f"{self.rest_url}/local/faults", json={"fault": fault, **params}, timeout=PATIENCE_S)
        assert answer.ok, answer.text
        if fault in CHANGES_TRUTH:
            self._known.clear()

    def clear(self) -> None:
        """Switch all faults off."""
        requests.delete(f"{self.rest_url}/local/faults", timeout=PATIENCE_S).raise_for_status()

    def jump(self, seconds: float) -> None:
        """Move its clock forward or back."""
        body = {"jump_ms": int(seconds * 1000)}
        requests.post(f"{self.rest_url}/local/clock", json=body, timeout=PATIENCE_S).raise_for_status()
        self._known.clear()

    def now_s(self) -> float:
        return float(self.get("/local/clock")["exchange_ms"]) / 1000

    def requests_for_candles(self) -> list[dict[str, Any]]:
        """Every REST request for candles so far."""
        return [r for r in self.get("/local/ledger")["requests"] if r["path"].endswith("/candles")]

    def listing(self) -> list[dict[str, Any]]:
        """Every product in the listing of the exchange now."""
        rows: list[dict[str, Any]] = self.get("/local/products")["products"]
        return rows

    def streamed(self) -> set[str]:
        """The products with a subscription to candles."""
        return {product for one in self.get("/local/streams")["streams"] for product in one.get("candles", ())}

    def truth(self, product: str, timeframe: Timeframe, first_s: int, last_s: int) -> dict[int, Bar]:
        """Every finished bucket with trades, by start, from `first_s` to `last_s`.

        Finished buckets only change by a revision, so only newer ones are requested.
        """
        last_s = min(last_s, timeframe.last_over(self.now_s()))
        known = self._known.get((product, timeframe))
        if known is None or not known.first_s <= first_s <= known.last_s + timeframe.seconds:
            known = Truth(first_s, first_s - timeframe.seconds, {})
        if known.last_s < last_s:
            newer = self._truth(product, timeframe, known.last_s + timeframe.seconds, last_s)
            bars = {start: bar for start, bar in known.bars.items() if start >= first_s}
            known = Truth(first_s, last_s, bars | newer)
            self._known[product, timeframe] = known
        return {start: bar for start, bar in known.bars.items() if first_s <= start <= last_s}

    def _truth(self, product: str, timeframe: Timeframe, first_s: int, last_s: int) -> dict[int, Bar]:
        end_s = last_s + timeframe.seconds
        rows = self.get("/local/truth", product=product, timeframe=timeframe, start=first_s, end=end_s)["candles"]
        return {
            int(r["start"]): Bar(*(float(r[f]) for f in ("open", "high", "low", "close", "volume")), True) for r in rows
        }
