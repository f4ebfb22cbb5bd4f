"""Assumptions about what REST says of a bucket, and when; and whether the stream agrees. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from app.doctor.coinbase.assumption import Assumption
from app.doctor.coinbase.buckets import Bucket, shown
from app.doctor.coinbase.evidence import Response, Row
from app.doctor.finding import Problems, Verdict, counted, verdict
from app.exchange.adapter import CandleClosed, FeedEvent, GapSuspected
from app.exchange.buckets import STEP_S
from app.market.candles import UnifiedCandle
from app.market.timeframes import BASE, Timeframe

_MINUTES = BASE.seconds // Timeframe.M1.seconds


class RestInTime(Assumption):
    name = "rest-in-time"
    used_for = "CANDLEWICK_SETTLING_SECONDS after its end, a bucket without a row had no trades."

    def __init__(self, settling_s: float) -> None:
        self._settling_ms = round(settling_s * 1000)
        self._began_ms = 0
        self._present_ms: dict[Bucket, int] = {}
        """When a response first had the row after its bucket's end; below, when one last did not have it."""
        self._absent_ms: dict[Bucket, int] = {}

    def response(self, response: Response) -> None:
        page = response.page
        if page is None or page.timeframe is not BASE or not response.is_fine or not response.sent_exchange_ms:
            return
        self._began_ms = self._began_ms or response.sent_exchange_ms
        for start_s in range(page.first_s, page.last_s, STEP_S):  # the last one may not be included
            bucket, end_ms = (page.product, start_s), (start_s + STEP_S) * 1000
            if not self._began_ms < end_ms <= response.sent_exchange_ms:
                continue
            if page.word(start_s) is None:
                self._absent_ms[bucket] = response.sent_exchange_ms - end_ms
            else:
                self._present_ms.setdefault(bucket, response.received_exchange_ms - end_ms)

    def conclusion(self) -> tuple[str, Verdict]:
        if not self._present_ms:
            return "no bucket with trades ended: too short, or a quiet market", Verdict.UNSEEN
        late = {b: ms for b in self._present_ms if (ms := self._absent_ms.get(b, 0)) >= self._settling_ms}
        soon = [ms for ms in self._present_ms.values() if ms < self._settling_ms]
        seen = (
            f"{counted(len(self._present_ms), 'bucket')} ended; {len(soon)} rows were received within "
            f"{self._settling_ms / 1000:g} s"
            + (f", {min(soon) / 1000:.1f} to {max(soon) / 1000:.1f} s after the end" if soon else "")
            + f"; {len(self._absent_ms.keys() & self._present_ms.keys())} were missing at first"
        )
        problems = Problems(f"{shown(bucket)} was missing after {ms / 1000:.1f} s" for bucket, ms in late.items())
        return f"{seen}{problems}", verdict(True, not late)


class RestSettled(Assumption):
    name = "rest-settled"
    used_for = "What REST says of a bucket CANDLEWICK_SETTLING_SECONDS after its end is final."

    def __init__(self, settling_s: float) -> None:
        self._settling_s = settling_s
        self._words: dict[tuple[Timeframe, Bucket], Row | None] = {}
        self._repeated: set[tuple[Timeframe, Bucket]] = set()
        self._changed = Problems()

    def response(self, response: Response) -> None:
        page = response.page
        if page is None or not response.is_fine:
            return
        for start_s in page.covered():
            if not page.is_settled(start_s, response, self._settling_s):
                continue
            key, word = (page.timeframe, (page.product, start_s)), page.word(start_s)
            if key in self._words:
                self._repeated.add(key)
                if self._words[key] != word:
                    self._changed.add(f"{shown(key[1])}: {_word(self._words[key])} became {_word(word)}")
            self._words[key] = word

    def conclusion(self) -> tuple[str, Verdict]:
        if not self._repeated:
            return "no settled bucket was requested twice: too short", Verdict.UNSEEN
        seen = f"{counted(len(self._repeated), 'settled bucket')} requested again, {len(self._changed)} changed"
        return f"{seen}{self._changed}", verdict(True, not self._changed)


def _word(row: Row | None) -> str:
    return "no trades" if row is None else f"volume {row.volume} close {row.close}"


class StreamEqualsRest(Assumption):
    """Takes what the software itself concludes from the stream: certain closes, and certain silence."""

    name = "stream-equals-rest"
    used_for = "A bucket that an unbroken stream closed is not requested from REST."

    def __init__(self, settling_s: float) -> None:
        self._settling_s = settling_s
        self._closed: dict[Bucket, UnifiedCandle] = {}
        self._silent: set[Bucket] = set()
        self._uncertain: set[Bucket] = set()
        self._words: dict[Bucket, Row | None] = {}

    def event(self, event: FeedEvent) -> None:
        if isinstance(event, CandleClosed):
            bucket = event.candle.product, event.candle.start_s
            self._closed[bucket] = event.candle
            if event.provisional:
                self._uncertain.add(bucket)
        elif isinstance(event, GapSuspected):
            buckets = {(event.product, s) for s in range(event.first_s, event.last_s + 1, STEP_S)}
            if event.settled_only:
                self._silent |= buckets
            else:
                self._uncertain |= buckets

    def response(self, response: Response) -> None:
        page = response.page
        if page is not None and page.timeframe is BASE and response.is_fine:
            for start_s in page.covered():
                if page.is_settled(start_s, response, self._settling_s):
                    self._words[page.product, start_s] = page.word(start_s)

    def conclusion(self) -> tuple[str, Verdict]:
        compared = list(self._compared())
        products = len({bucket[0] for bucket, _ in compared})
        if not compared:
            return "no settled bucket that was seen whole: too short", Verdict.UNSEEN
        different = Problems(f"{shown(bucket)}: {problem}" for bucket, problem in compared if problem)
        seen = (
            f"{counted(len(compared), 'bucket')} of {counted(products, 'product')}, "
            f"{len(different)} different{different}"
        )
        return seen, verdict(True, not different)

    def _compared(self) -> Iterator[tuple[Bucket, str]]:
        """Each bucket that both know, and the difference."""
        for bucket, row in self._words.items():
            if bucket in self._uncertain:
                continue
            candle = self._closed.get(bucket)
            if candle is not None:
                yield bucket, _difference(candle, row)
            elif bucket in self._silent:
                yield bucket, "" if row is None else f"no update, but REST has volume {row.volume}"


def _difference(candle: UnifiedCandle, row: Row | None) -> str:
    if row is None:
        return f"volume {candle.volume:g}, but REST has no row"
    wrong = (name for name in Row._fields if getattr(candle, name) != float(getattr(row, name)))
    return ", ".join(f"{name} {getattr(candle, name):.12g}, by REST {getattr(row, name)}" for name in wrong)


class MinutesAddUp(Assumption):
    """Takes the first response about each bucket: those of 1m and of 5m come one after the other."""

    name = "minutes-add-up"
    used_for = "Candles of 5m are compared with those of 1m, and longer ones are built from shorter ones."

    def __init__(self, settling_s: float) -> None:
        self._settling_s = settling_s
        self._minutes: dict[Bucket, Row | None] = {}
        self._fives: dict[Bucket, Row | None] = {}

    def response(self, response: Response) -> None:
        page = response.page
        words = {Timeframe.M1: self._minutes, BASE: self._fives}.get(page.timeframe) if page else None
        if page is not None and words is not None and response.is_fine:
            for start_s in page.covered():
                if page.is_settled(start_s, response, self._settling_s):
                    words.setdefault((page.product, start_s), page.word(start_s))

    def conclusion(self) -> tuple[str, Verdict]:
        compared = 0
        wrong = Problems()
        for (product, start_s), row in self._fives.items():
            minutes = [(product, start_s + n * Timeframe.M1.seconds) for n in range(_MINUTES)]
            if row is not None and all(minute in self._minutes for minute in minutes):
                compared += 1
                built = _sum([self._minutes[minute] for minute in minutes])
                if built != row:
                    wrong.add(f"{shown((product, start_s))}: {_word(built)}, by the 5m candle {_word(row)}")
        seen = f"{counted(compared, 'bucket')} built of minutes, {len(wrong)} different{wrong}"
        return seen, verdict(compared, not wrong)


def _sum(minutes: list[Row | None]) -> Row | None:
    rows = [row for row in minutes if row is not None]
    if not rows:
        return None
    volume = sum((row.volume for row in rows[1:]), rows[0].volume)
    return Row(rows[0].open, max(r.high for r in rows), min(r.low for r in rows), rows[-1].close, volume)
