from collections.abc import Iterable

import pytest

from app.exchange.adapter import (
    CandleClosed,
    CandleUpdated,
    ClockTick,
    Connected,
    Disconnected,
    FeedEvent,
    GapSuspected,
    ProductRefused,
)
from app.ingest import outbox as module
from app.ingest.outbox import SILENCES_KEPT, Batch, Outbox
from app.market.candles import CandleState
from app.market.timeframes import Timeframe
from app.storage.changed_ranges import ChangedRange
from tests.build import B0, STEP, candle


def gap(first: int, last: int, *, settled_only: bool = False) -> GapSuspected:
    return GapSuspected("BTC-USD", Timeframe.M5, B0 + first * STEP, B0 + last * STEP, "why", settled_only)


def filled(*events: object) -> Outbox:
    box = Outbox(lambda _: None)
    for event in events:
        box.put(event)  # type: ignore[arg-type]
    return box


def test_it_keeps_only_the_newest_event_of_a_bucket() -> None:
    box = filled(CandleClosed(candle(close=10)), CandleClosed(candle(close=10.5)), CandleClosed(candle(B0 + STEP)))
    batch = box.pop(at_most_s=0)
    assert [e.candle.close for e in batch.closed.values()] == [10.5, 10.0]
    assert box.pop(at_most_s=0) == Batch()


def test_forming_candles_coalesce() -> None:
    forming = [CandleUpdated(candle(volume=v, state=CandleState.FORMING)) for v in (1.0, 2.0, 3.0)]
    assert [c.volume for c in filled(*forming).pop(at_most_s=0).forming.values()] == [3.0]


def test_the_clock_only_goes_forward() -> None:
    assert filled(ClockTick(5), ClockTick(9), ClockTick(7)).pop(at_most_s=0).exchange_ms == 9


def test_a_provisional_close_stays_so_until_a_newer_event_of_its_bucket() -> None:
    box = filled(CandleClosed(candle(), provisional=True), CandleClosed(candle(B0 + STEP)))
    assert [e.provisional for e in box.pop(at_most_s=0).closed.values()] == [True, False]
    box.put(CandleClosed(candle(), provisional=True))
    box.put(CandleClosed(candle(volume=2.0)))
    assert [e.provisional for e in box.pop(at_most_s=0).closed.values()] == [False]


def test_gaps_of_a_product_become_one() -> None:
    batch = filled(gap(3, 4), gap(0, 1), gap(6, 6, settled_only=True)).pop(at_most_s=0)
    assert batch.gaps["BTC-USD"].first_s == B0
    assert batch.gaps["BTC-USD"].last_s == B0 + 4 * STEP


def spans(silences: Iterable[GapSuspected]) -> list[tuple[int, int]]:
    return [((g.first_s - B0) // STEP, (g.last_s - B0) // STEP) for g in silences]


def test_a_silence_never_spreads_over_a_bucket_that_was_not_silent() -> None:
    """Merged into one gap, two silences would mark the bucket between them as silent too."""
    quiet = [gap(n, m, settled_only=True) for n, m in ((0, 1), (2, 2), (4, 5))]
    box = filled(*quiet)
    batch = box.pop(at_most_s=0)
    assert spans(batch.quiet["BTC-USD"]) == [(0, 2), (4, 5)]
    assert not batch.gaps
    box.put(gap(6, 6, settled_only=True))
    box.put(gap(8, 8, settled_only=True))
    box.put_back(batch)
    assert spans(box.pop(at_most_s=0).quiet["BTC-USD"]) == [(0, 2), (4, 6), (8, 8)]


def test_silences_are_bounded_and_the_oldest_are_dropped() -> None:
    box = filled(*(gap(2 * n, 2 * n, settled_only=True) for n in range(SILENCES_KEPT + 2)))
    kept = spans(box.pop(at_most_s=0).quiet["BTC-USD"])
    assert (len(kept), kept[0]) == (SILENCES_KEPT, (4, 4))


def test_unwritten_events_come_again_unless_newer_ones_replace_them() -> None:
    box = filled(CandleClosed(candle(close=10)), CandleClosed(candle(B0 + STEP)), gap(0, 0), ProductRefused("A-B", "x"))
    batch = box.pop(at_most_s=0)
    box.put(CandleClosed(candle(close=10.5)))
    box.put(gap(2, 2))
    box.put_back(batch)
    again = box.pop(at_most_s=0)
    assert [e.candle.close for e in again.closed.values()] == [10.5, 10.0]
    assert (again.gaps["BTC-USD"].first_s, again.gaps["BTC-USD"].last_s) == (B0, B0 + 2 * STEP)
    assert again.refused == {"A-B": "x"}


def test_closes_during_a_write_can_join_the_batch() -> None:
    box = filled(CandleClosed(candle(close=10)))
    batch = box.pop(at_most_s=0)
    box.put(CandleClosed(candle(close=10.5)))
    box.put(CandleClosed(candle(B0 + STEP)))
    box.put(gap(0, 0))
    box.top_up(batch)
    assert [e.candle.close for e in batch.closed.values()] == [10.5, 10.0]
    assert not batch.gaps
    rest = box.pop(at_most_s=3600)  # a gap is urgent
    assert (not rest.closed, list(rest.gaps)) == (True, ["BTC-USD"])


def test_it_is_bounded_and_counts_what_it_drops(monkeypatch: object) -> None:
    monkeypatch.setattr(module, "CLOSED_KEPT", 3)  # type: ignore[attr-defined]
    box = filled(*(CandleClosed(candle(B0 + i * STEP)) for i in range(5)))
    assert [start for _, start in box.pop(at_most_s=0).closed] == [B0 + i * STEP for i in (2, 3, 4)]
    assert box.dropped == 2


def test_other_events_are_held_once_per_product() -> None:
    box = Outbox(lambda _: None)
    for n in range(500):
        forming = CandleUpdated(candle(B0 + n * STEP, state=CandleState.FORMING))
        for event in (gap(n, n), gap(n, n, settled_only=True), forming, ProductRefused("A-B", f"{n}"), ClockTick(n)):
            box.put(event)
    batch = box.pop(at_most_s=0)
    assert [len(kept) for kept in (batch.gaps, batch.quiet, batch.forming, batch.refused)] == [1, 1, 1, 1]
    assert batch.gaps["BTC-USD"].last_s == B0 + 499 * STEP


def test_connects_and_disconnects_go_past_the_queue() -> None:
    seen: list[object] = []
    box = Outbox(seen.append)
    box.put(Connected("a", 1))
    box.put(Disconnected("a", "why"))
    assert seen == [Connected("a", 1), Disconnected("a", "why")]
    assert box.pop(at_most_s=0) == Batch()


def test_returned_and_newer_events_are_merged_and_the_newest_counts() -> None:
    forming = [CandleUpdated(candle(volume=v, state=CandleState.FORMING)) for v in (1.0, 2.0)]
    changed = [ChangedRange("BTC-USD", Timeframe.M5, B0, B0), ChangedRange("ETH-USD", Timeframe.M5, B0, B0)]
    box = filled(forming[0], ProductRefused("A-B", "old"), ClockTick(5))
    batch = box.pop(at_most_s=0)
    batch.changed.append(changed[0])
    for event in (forming[1], ProductRefused("A-B", "new"), ClockTick(9), gap(7, 7), gap(9, 9, settled_only=True)):
        box.put(event)
    newer = box.pop(at_most_s=0)
    newer.changed.append(changed[1])
    box.put_back(newer)
    box.put_back(batch)
    again = box.pop(at_most_s=0)
    assert [c.volume for c in again.forming.values()] == [2.0]
    assert (again.refused, again.exchange_ms, again.changed) == ({"A-B": "new"}, 9, changed)
    assert spans(again.gaps.values()) == [(7, 7)]
    assert spans(again.quiet["BTC-USD"]) == [(9, 9)]


def test_returned_events_are_bounded_too(monkeypatch: object) -> None:
    monkeypatch.setattr(module, "CLOSED_KEPT", 3)  # type: ignore[attr-defined]
    box = filled(*(CandleClosed(candle(B0 + i * STEP)) for i in range(2)))
    batch = box.pop(at_most_s=0)
    for i in range(2, 5):
        box.put(CandleClosed(candle(B0 + i * STEP)))
    box.put_back(batch)
    assert [start for _, start in box.pop(at_most_s=0).closed] == [B0 + i * STEP for i in (2, 3, 4)]
    assert box.dropped == 2


@pytest.mark.parametrize(
    "urgent", [CandleClosed(candle()), gap(0, 0), gap(0, 0, settled_only=True), ProductRefused("A-B", "why")]
)
def test_closes_gaps_and_refusals_do_not_wait(urgent: FeedEvent) -> None:
    box = filled(ClockTick(1), urgent)
    assert box.pop(at_most_s=3600).exchange_ms == 1


def test_topped_up_events_do_not_come_again() -> None:
    box = filled(CandleClosed(candle()))
    batch = box.pop(at_most_s=0)
    box.put(CandleClosed(candle(B0 + STEP)))
    box.top_up(batch)
    assert len(batch.closed) == 2
    assert not box.pop(at_most_s=0).closed
