"""What each assumption concludes: holds, does not hold, not seen."""

from __future__ import annotations

from typing import Any

import pytest

from app.doctor.coinbase import buckets, clocks, pages, stream, words
from app.doctor.coinbase.assumption import Assumption
from app.doctor.coinbase.evidence import Frame, Response
from app.doctor.finding import Verdict
from app.exchange.adapter import CandleClosed, Connected, Disconnected, FrameRejected, GapSuspected, ProductRefused
from app.market.candles import CandleState, UnifiedCandle
from app.market.timeframes import BASE, Timeframe
from tests.unit.doctor.given import BTC, START, STEP, answer, candles, frame, response, row

HOLDS, FAILS, UNSEEN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNSEEN
OPENED = Connected("coinbase-1", 1)


def feed(assumption: Assumption, *evidence: Any) -> tuple[str, Verdict]:
    for one in evidence:
        if isinstance(one, Frame):
            assumption.frame(one)
        elif isinstance(one, Response):
            assumption.response(one)
        else:
            assumption.event(one)
    return assumption.conclusion()


def numbered(*numbers: int) -> list[Frame]:
    return [frame(START + n, "heartbeats", seq=n) for n in numbers]


def beats(*counters: object, every_s: float = 1) -> list[Frame]:
    return [frame(START + n * every_s, "heartbeats", {"heartbeat_counter": c}) for n, c in enumerate(counters)]


def trades(*ids: int, at_s: float = START, connection: str = "coinbase-1") -> Frame:
    rows = [{"product_id": BTC, "trade_id": str(number)} for number in reversed(ids)]
    return frame(at_s, "market_trades", {"type": "update", "trades": rows}, connection=connection)


NOTHING: list[Any] = []


@pytest.mark.parametrize(
    ("evidence", "verdict", "seen"),
    [
        (NOTHING, UNSEEN, "0 frames"),
        (numbered(0, 1, 2), HOLDS, "3 frames on 1 connection: 0 gaps, 0 repeated"),
        (numbered(0, 1, 3), FAILS, "1 gap,"),
        (numbered(0, 1, 1), FAILS, "1 repeated"),
        ([*numbered(0, 2), frame(START, "heartbeats", {"other": 1}, seq=1)], FAILS, "1 out of order"),
        ([*numbered(0, 1), OPENED, *numbered(0, 1)], HOLDS, "0 gaps"),
        ([*numbered(5, 6)], HOLDS, "counted from 5"),
    ],
)
def test_sequence_dense(evidence: list[Any], verdict: Verdict, seen: str) -> None:
    text, found = feed(stream.SequenceDense(), *evidence)
    assert (found, seen in text) == (verdict, True), text


@pytest.mark.parametrize(
    ("evidence", "verdict", "seen"),
    [
        (beats(1, 2, 3), UNSEEN, "too short"),
        (beats(*range(8)), HOLDS, "7 intervals: 1.00 s"),
        (beats(*range(8), every_s=2), FAILS, "2.00 s on average"),
        ([*beats(*range(8)), Disconnected("coinbase-1", "x"), frame(START + 600, "heartbeats", {})], HOLDS, "1.00 s"),
        ([*beats(*range(30)), frame(START + 35.1, "heartbeats", {})], FAILS, "6.10 s the longest"),
    ],
)
def test_heartbeats_each_second(evidence: list[Any], verdict: Verdict, seen: str) -> None:
    text, found = feed(stream.HeartbeatsEachSecond(), *evidence)
    assert (found, seen in text) == (verdict, True), text


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (beats(7), UNSEEN),
        (beats(7, 8, "9"), HOLDS),
        (beats(7, 9), FAILS),
        (beats(7, 7), FAILS),
        (beats("x"), FAILS),
        ([*beats(7, 8), OPENED, *beats(900, 901)], HOLDS),
    ],
)
def test_heartbeats_dense(evidence: list[Any], verdict: Verdict) -> None:
    assert feed(stream.HeartbeatsDense(), *evidence)[1] is verdict


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ([frame(START, "heartbeats")], UNSEEN),
        ([trades(5, 6), trades(7), trades(8, 9)], HOLDS),
        ([trades(5, 6), trades(6, 7)], HOLDS),
        ([trades(5, 6), trades(8)], FAILS),
        ([trades(5, 7)], FAILS),
        ([trades(5), OPENED, trades(9)], HOLDS),
    ],
)
def test_trade_ids_dense(evidence: list[Any], verdict: Verdict) -> None:
    assert feed(stream.TradeIdsDense(), *evidence)[1] is verdict


def test_connections_stay() -> None:
    assert feed(stream.ConnectionsStay())[1] is UNSEEN
    assert feed(stream.ConnectionsStay(), OPENED)[1] is HOLDS
    text, found = feed(stream.ConnectionsStay(), OPENED, Disconnected("coinbase-1", "closed: 1001"))
    assert found is FAILS
    assert text == "1 connection opened, 1 lost (coinbase-1: closed: 1001)"


def test_products_accepted() -> None:
    ack = frame(START, "subscriptions", {"subscriptions": {"candles": [BTC], "heartbeats": ["heartbeats"]}})
    assert feed(stream.ProductsAccepted(1))[1] is UNSEEN
    assert feed(stream.ProductsAccepted(1), ack) == ("1 requested, 1 in the acknowledgements", HOLDS)
    text, found = feed(stream.ProductsAccepted(2), ack, ProductRefused("REN-USD", "it is delisted"))
    assert (text, found) == ("2 requested, 1 in the acknowledgements; refused: REN-USD", FAILS)


def test_frames_readable_and_their_size() -> None:
    big = Frame.read("coinbase-1", b"x" * 5_000_000, 1_000, 0)
    assert feed(stream.FramesReadable())[1] is UNSEEN
    assert feed(stream.FramesReadable(), frame(START))[1] is HOLDS
    assert feed(stream.FramesReadable(), frame(START), FrameRejected("coinbase-1", "not JSON"))[1] is FAILS
    assert feed(stream.FrameSize())[1] is UNSEEN
    assert feed(stream.FrameSize(), frame(START), frame(START + 10))[1] is HOLDS
    text, found = feed(stream.FrameSize(), frame(START), big)
    assert (found, "the largest has 5,000,000 bytes" in text) == (FAILS, True)


def test_clock_forward() -> None:
    assert feed(clocks.ClockForward())[1] is UNSEEN
    assert feed(clocks.ClockForward(), frame(START), frame(START), frame(START + 1))[1] is HOLDS
    assert feed(clocks.ClockForward(), frame(START + 9), OPENED, frame(START))[1] is HOLDS
    text, found = feed(clocks.ClockForward(), frame(START + 1), frame(START + 0.5, "candles"), frame(START + 0.7))
    assert (found, "2 steps back (0.500 s in a frame of candles" in text) == (FAILS, True)


def rest_time(ahead_s: float, at_s: float) -> Response:
    return answer("/time", {"epochMillis": str(round((at_s + ahead_s) * 1000))}, at_s)


@pytest.mark.parametrize(("ahead_s", "verdict"), [(0, HOLDS), (1.5, HOLDS), (30, FAILS), (-30, FAILS)])
def test_clocks_agree(ahead_s: float, verdict: Verdict) -> None:
    evidence = [frame(START), rest_time(ahead_s, START + 1), frame(START + 2), frame(START + 5)]
    assert feed(clocks.ClocksAgree(), *evidence)[1] is verdict
    assert feed(clocks.ClocksAgree(), *evidence[:3])[1] is UNSEEN


@pytest.mark.parametrize(("ahead_s", "verdict", "way"), [(-59, HOLDS, "behind"), (61, FAILS, "ahead of")])
def test_machine_clock(ahead_s: float, verdict: Verdict, way: str) -> None:
    text, found = feed(clocks.MachineClock(), frame(START, wall_s=START + ahead_s), frame(START + 9, wall_s=START))
    assert (found, way in text) == (verdict, True)
    assert feed(clocks.MachineClock())[1] is UNSEEN


def test_the_machine_clock_is_judged_by_the_frame_that_waited_least() -> None:
    frames = [frame(START + n, wall_s=START + n + waited_s) for n, waited_s in enumerate((70, 0.3, 80))]
    text, found = feed(clocks.MachineClock(), *frames, frame(START + 60, wall_s=START + 60))
    assert (found, "was 0.30 s ahead of" in text) == (HOLDS, True)


END = START + STEP
BEFORE = candles(END - 9, row(START))
SETTLED = response(row(START, "2"), first_s=START, last_s=START, at_s=END + 60)


@pytest.mark.parametrize(
    ("evidence", "verdict", "seen"),
    [
        (NOTHING, UNSEEN, "none of 0 buckets"),
        ([BEFORE], UNSEEN, "none of 0 buckets"),
        ([BEFORE, candles(END + 0.5, row(START, "2"))], HOLDS, "1 bucket had a trade after"),
        ([BEFORE, candles(END + 0.5, row(START, "2")), SETTLED], HOLDS, "1 were updated, 0.5 to 0.5 s after the end"),
        ([BEFORE, candles(END + 0.5, row(START))], UNSEEN, "none of 0 buckets"),
        ([BEFORE, SETTLED], FAILS, "1 bucket had a trade after the last update before the end: 0 were updated"),
        ([candles(END - 9, row(START, "2")), SETTLED], UNSEEN, "none of 1 bucket"),
        ([candles(END + 1, row(START, "2")), SETTLED], UNSEEN, "none of 0 buckets"),  # not seen open
    ],
)
def test_update_after_end(evidence: list[Any], verdict: Verdict, seen: str) -> None:
    text, found = feed(buckets.UpdateAfterEnd(60), *evidence)
    assert (found, seen in text) == (verdict, True), text


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ([BEFORE], UNSEEN),
        ([BEFORE, candles(END + 1.9, row(START, "2"))], HOLDS),
        ([BEFORE, frame(END + 0.1), candles(END + 9, row(START, "2"))], FAILS),
        ([BEFORE, frame(END + 0.1), candles(END + 9, row(START))], HOLDS),  # nothing new
        ([BEFORE, frame(END + 0.1), candles(END + 9, row(START, "0.5"))], HOLDS),  # an older state
        # Two exchange minutes in one real second: late by the exchange's clock alone.
        ([BEFORE, frame(END + 1, local_s=END), candles(END + 120, row(START, "2"), local_s=END + 1)], HOLDS),
        # It was over before we listened.
        ([frame(END + 9), candles(END + 10, row(START, "2")), frame(END + 20)], UNSEEN),
    ],
)
def test_update_within_grace(evidence: list[Any], verdict: Verdict) -> None:
    assert feed(buckets.UpdateWithinGrace(2), *evidence)[1] is verdict


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ([frame(START)], UNSEEN),
        ([candles(START + n, row(START, str(n))) for n in (1, 2, 2, 3)], HOLDS),
        ([candles(START + n, row(START, str(9 - n))) for n in (1, 2)], FAILS),
        ([candles(START, row(START, "2")), OPENED, candles(START + 9, row(START, "1"))], HOLDS),
    ],
)
def test_volume_grows(evidence: list[Any], verdict: Verdict) -> None:
    assert feed(buckets.VolumeGrows(), *evidence)[1] is verdict


def test_snapshot_has_gaps() -> None:
    starts = [START - n * STEP for n in range(6)]
    page = response(*map(row, starts), first_s=starts[-1], last_s=START, at_s=START + 9)
    whole = candles(START + 9, *map(row, starts), kind="snapshot")
    some = candles(START + 9, *map(row, starts[::2]), kind="snapshot")
    assert feed(buckets.SnapshotHasGaps(), whole)[1] is UNSEEN
    assert feed(buckets.SnapshotHasGaps(), whole, page)[1] is FAILS
    text, found = feed(buckets.SnapshotHasGaps(), some, page)
    assert found is HOLDS
    assert text == "2 of 5 buckets with trades are missing; 3 to 3 candles, newest first"


def closed(start_s: int, volume: float = 1, *, provisional: bool = False) -> CandleClosed:
    numbers = {"open": 10, "high": 12, "low": 9, "close": 10, "volume": volume}
    candle = UnifiedCandle(
        exchange="coinbase", product=BTC, timeframe=BASE, start_s=start_s, state=CandleState.CLOSED, **numbers
    )
    return CandleClosed(candle, provisional=provisional)


def silent(start_s: int, *, settled_only: bool = True) -> GapSuspected:
    return GapSuspected(BTC, BASE, start_s, start_s, "quiet", settled_only=settled_only)


SECOND = START + STEP
AROUND = (row(START - STEP), row(SECOND + STEP))
LATER = SECOND + STEP + 61


def said(*rows: dict[str, str], at_s: float = LATER) -> Response:
    return response(*rows, *AROUND, first_s=START - STEP, last_s=SECOND + STEP, at_s=at_s)


@pytest.mark.parametrize(
    ("evidence", "verdict", "seen"),
    [
        ([closed(START)], UNSEEN, "too short"),
        ([closed(START), said(row(START))], HOLDS, "1 bucket of 1 product, 0 different"),
        ([closed(START), said(row(START, "2"))], FAILS, "volume 1, by REST 2"),
        ([closed(START), said(row(START), at_s=START + STEP + 59)], UNSEEN, "too short"),
        ([closed(START), said(row(START, "2"), at_s=START + STEP + 60), said(row(START))], HOLDS, "0 different"),
        ([closed(START, provisional=True), said(row(START, "2"))], UNSEEN, "too short"),
        ([closed(START), silent(START, settled_only=False), said(row(START, "2"))], UNSEEN, "too short"),
        ([closed(START), said()], FAILS, "REST has no row"),
        ([silent(START), said()], HOLDS, "1 bucket"),
        ([silent(START), said(row(START, "0"))], HOLDS, "1 bucket"),
        ([silent(START), said(row(START, "3"))], FAILS, "no update, but REST has volume 3"),
    ],
)
def test_stream_equals_rest(evidence: list[Any], verdict: Verdict, seen: str) -> None:
    text, found = feed(words.StreamEqualsRest(60), *evidence)
    assert (found, seen in text) == (verdict, True), text


def asked(*rows: dict[str, str], after_s: float) -> Response:
    return response(row(START - STEP), *rows, first_s=START - STEP, last_s=END, at_s=END + after_s)


@pytest.mark.parametrize(
    ("evidence", "verdict", "seen"),
    [
        (NOTHING, UNSEEN, "no bucket"),
        ([asked(after_s=-9), asked(row(START), after_s=2)], HOLDS, "2.1 to 2.1 s after the end; 0 were missing"),
        ([asked(after_s=-9), asked(after_s=2), asked(row(START), after_s=9)], HOLDS, "1 were missing at first"),
        ([asked(after_s=-9), asked(after_s=60), asked(row(START), after_s=90)], FAILS, "was missing after 60.0 s"),
        ([asked(after_s=-9), asked(after_s=60), asked(after_s=90)], UNSEEN, "quiet market"),
        ([asked(after_s=70), asked(row(START), after_s=90)], UNSEEN, "no bucket"),  # over before the first request
    ],
)
def test_rest_in_time(evidence: list[Any], verdict: Verdict, seen: str) -> None:
    text, found = feed(words.RestInTime(60), *evidence)
    assert (found, seen in text) == (verdict, True), text


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ([said(row(START))], UNSEEN),
        ([said(row(START)), said(row(START))], HOLDS),
        ([said(row(START)), said(row(START, close="11"))], FAILS),
        ([said(row(START)), said()], FAILS),
        ([said(), said(row(START))], FAILS),
        ([said(row(START, "0.5"), at_s=END + 9), said(row(START)), said(row(START))], HOLDS),
    ],
)
def test_rest_settled(evidence: list[Any], verdict: Verdict) -> None:
    assert feed(words.RestSettled(60), *evidence)[1] is verdict


def minutes(*rows: dict[str, str]) -> Response:
    last_s = START + STEP - 60
    return response(*rows, first_s=START, last_s=last_s, at_s=LATER, timeframe=Timeframe.M1)


def test_minutes_add_up() -> None:
    five = {"start": str(START), "open": "10", "high": "15", "low": "9", "close": "11", "volume": "0.6"}
    whole = response(five, first_s=START, last_s=START, at_s=LATER)
    parts = [row(START, "0.1"), row(START + 120, "0.2", high="15"), row(START + 240, "0.3", close="11")]
    assert feed(words.MinutesAddUp(60), whole)[1] is UNSEEN
    assert feed(words.MinutesAddUp(60), whole, minutes(*parts)) == ("1 bucket built of minutes, 0 different", HOLDS)
    for wrong in ({"volume": "0.61"}, {"open": "9.5"}, {"close": "12"}, {"high": "16"}, {"low": "8"}):
        other = response({**five, **wrong}, first_s=START, last_s=START, at_s=LATER)
        assert feed(words.MinutesAddUp(60), other, minutes(*parts))[1] is FAILS
    # A minute before the first row may be missing for another reason.
    assert feed(words.MinutesAddUp(60), whole, minutes(*parts[1:]))[1] is UNSEEN


def listing(*products: str, stated: int = 3) -> Response:
    return answer(
        "/market/products", {"products": [{"product_id": p} for p in products], "num_products": stated}, START
    )


def test_listing_complete() -> None:
    assert feed(pages.ListingComplete())[1] is UNSEEN
    assert feed(pages.ListingComplete(), listing(*"abc")) == ("3 products in 1 page; num_products 3", HOLDS)
    assert feed(pages.ListingComplete(), listing(*"ab"), listing("c"))[1] is HOLDS
    assert feed(pages.ListingComplete(), listing(*"ab"))[1] is FAILS
    assert feed(pages.ListingComplete(), listing(*"ab"), listing(*"ab"))[1] is FAILS


def sized(count: int, status: int = 200) -> Response:
    problem = "" if status == 200 else f"/candles: {status} too many"
    return response(first_s=START - (count - 1) * STEP, last_s=START, at_s=START, status=status, problem=problem)


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ([sized(350)], UNSEEN),
        ([sized(350), sized(351, 400)], HOLDS),
        ([sized(350, 400), sized(351, 400)], FAILS),
        ([sized(350), sized(351)], FAILS),
        ([sized(350, 500), sized(350), sized(351, 429), sized(351, 400)], HOLDS),
    ],
)
def test_rest_page_limit(evidence: list[Any], verdict: Verdict) -> None:
    assert feed(pages.PageLimit(), *evidence)[1] is verdict


def test_rest_newest_first() -> None:
    one, two = row(START), row(SECOND)
    page = {"first_s": START, "last_s": SECOND, "at_s": LATER}
    assert feed(pages.NewestFirst(), response(one, **page))[1] is UNSEEN
    assert feed(pages.NewestFirst(), response(two, one, **page))[1] is HOLDS
    assert feed(pages.NewestFirst(), response(one, two, **page))[1] is FAILS


def test_rest_range_inclusive() -> None:
    known = response(row(SECOND), row(START), first_s=START - 9 * STEP, last_s=SECOND + 9 * STEP, at_s=LATER)
    page = {"first_s": START, "last_s": SECOND, "at_s": LATER}
    assert feed(pages.RangeInclusive(60), known)[1] is UNSEEN
    assert feed(pages.RangeInclusive(60), known, response(row(SECOND), row(START), **page))[1] is HOLDS
    assert feed(pages.RangeInclusive(60), known, response(row(START), **page))[1] is FAILS
    assert feed(pages.RangeInclusive(60), known, response(row(SECOND), **page))[1] is FAILS


def test_rest_empty_left_out() -> None:
    page = {"first_s": START, "last_s": START + 2 * STEP, "at_s": LATER}
    ends = row(START), row(START + 2 * STEP)
    assert feed(pages.EmptyLeftOut(), response(*ends, row(SECOND), **page))[1] is UNSEEN
    assert feed(pages.EmptyLeftOut(), response(*ends, **page))[1] is HOLDS
    assert feed(pages.EmptyLeftOut(), response(*ends, row(SECOND, "0"), **page))[1] is FAILS


def test_rest_open_bucket() -> None:
    update, later = candles(START + 10, row(START)), frame(START + 30)
    page = {"first_s": START - STEP, "last_s": START}
    shown = response(row(START), row(START - STEP), at_s=START + 20, **page)
    missing = response(row(START - STEP), at_s=START + 20, **page)
    assert feed(pages.OpenBucketShown(), shown, later)[1] is UNSEEN
    assert feed(pages.OpenBucketShown(), update, missing)[1] is UNSEEN  # it may be over by now
    assert feed(pages.OpenBucketShown(), update, missing, frame(END + 1))[1] is UNSEEN
    assert feed(pages.OpenBucketShown(), update, shown, later) == ("1 of 1 response had it", HOLDS)
    assert feed(pages.OpenBucketShown(), update, shown, missing, later) == ("1 of 2 responses had it", FAILS)
    too_soon = response(row(START - STEP), at_s=START + 12, **page)
    assert feed(pages.OpenBucketShown(), update, too_soon, later)[1] is UNSEEN


@pytest.mark.parametrize(
    ("evidence", "answers", "throttled"),
    [
        (NOTHING, UNSEEN, UNSEEN),
        ([sized(10)], HOLDS, HOLDS),
        ([sized(351, 400)], HOLDS, HOLDS),
        ([sized(10, 429)], HOLDS, FAILS),
        ([sized(10, 403)], HOLDS, FAILS),
        ([sized(10, 500)], FAILS, HOLDS),
        ([sized(10, 0)], FAILS, HOLDS),
        ([sized(10, 404)], FAILS, HOLDS),
        ([answer("/time", [], START).judged(None)], FAILS, HOLDS),
        ([response({"start": str(START)}, first_s=START, last_s=START, at_s=START)], FAILS, HOLDS),
    ],
)
def test_rest_answers_and_not_throttled(evidence: list[Any], answers: Verdict, throttled: Verdict) -> None:
    assert feed(pages.RestAnswers(), *evidence)[1] is answers
    assert feed(pages.NotThrottled(5), *evidence)[1] is throttled
