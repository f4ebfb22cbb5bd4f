"""Candle updates: every change once, the last state of each bucket, and no other."""

from __future__ import annotations

from app.market.timeframes import Timeframe
from simulator.frames import CandleValues
from simulator.seeded import SeededMarket
from simulator.ticker import MAX_CAUGHT_UP, STEP_MS, CandleTicker
from simulator.trade_log import TradeLog

START_S = 1_614_816_000
START_MS = START_S * 1000
PRODUCTS = ("BTC-USD", "ETH-USD", "FARM-USD")


def ticking(
    trade_log: TradeLog, until_ms: int, every_ms: int, *, final_update: bool = True
) -> list[tuple[str, CandleValues]]:
    ticker = CandleTicker(trade_log)
    sent: list[tuple[str, CandleValues]] = []
    for product in PRODUCTS:
        ticker.watch(product, START_MS)
    for now_ms in range(START_MS, until_ms, every_ms):
        sent += ticker.due(now_ms, final_update=final_update)
        list(ticker.prepare(now_ms))
    return sent


def truth(trade_log: TradeLog, product: str, until_ms: int) -> list[CandleValues]:
    rows: list[CandleValues] = trade_log.candles(
        product, Timeframe.M5, START_S, until_ms // STEP_MS * STEP_MS // 1000, until_ms
    ).tolist()
    return rows


def test_the_last_update_of_each_bucket_is_the_candle() -> None:
    trade_log, until_ms = TradeLog(SeededMarket(3, start_s=START_S)), START_MS + 6 * 3_600_000
    sent = ticking(trade_log, until_ms, 17_003)
    for product in PRODUCTS:
        last = {values[0]: values for name, values in sent if name == product}
        over = [values for start, values in last.items() if (start + 300) * 1000 < until_ms - 17_003]
        assert over == truth(trade_log, product, until_ms)[: len(over)]
        assert len(over) >= len(truth(trade_log, product, until_ms)) - 1


def test_updates_never_go_back_and_never_repeat() -> None:
    trade_log = TradeLog(SeededMarket(3, start_s=START_S))
    sent = ticking(trade_log, START_MS + 3_600_000, 1_000)
    for product in PRODUCTS:
        updates = [values for name, values in sent if name == product]
        keys = [(values[0], values[5]) for values in updates]
        assert keys == sorted(set(keys))


def test_without_final_updates_trades_just_before_the_boundary_are_missing() -> None:
    trade_log, until_ms = TradeLog(SeededMarket(3, start_s=START_S)), START_MS + 3_600_000
    sent = ticking(trade_log, until_ms, 120_000, final_update=False)
    last = {values[0]: values for name, values in sent if name == "BTC-USD"}
    assert list(last.values()) != truth(trade_log, "BTC-USD", until_ms)[: len(last)]


def test_a_jump_sends_only_the_newest_buckets() -> None:
    ticker = CandleTicker(TradeLog(SeededMarket(3, start_s=START_S)))
    ticker.watch("BTC-USD", START_MS)
    now_ms = START_MS + 50 * STEP_MS + 1
    starts = [values[0] for _, values in ticker.due(now_ms, final_update=True)]
    newest = now_ms // STEP_MS * 300
    assert starts[0] == START_S
    assert [s for s in starts[1:] if s < newest] == [newest - n * 300 for n in range(MAX_CAUGHT_UP, 0, -1)]


def test_an_unwatched_product_is_dropped() -> None:
    ticker = CandleTicker(TradeLog(SeededMarket(3, start_s=START_S)))
    for product in PRODUCTS:
        ticker.watch(product, START_MS)
    ticker.keep(["ETH-USD"])
    assert {name for name, _ in ticker.due(START_MS + STEP_MS - 1, final_update=True)} == {"ETH-USD"}
