"""Examines one exchange: listens, asks, and lets every assumption conclude."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from app.doctor.asking import Asker
from app.doctor.coinbase.assumption import Assumption
from app.doctor.coinbase.assumptions import assumptions
from app.doctor.coinbase.evidence import Frame, Response
from app.doctor.coinbase.listening import Evidence, Inbox, Listener
from app.doctor.coinbase.questions import Questions, read_listing
from app.doctor.coinbase.universe import Universe, choose
from app.doctor.finding import Finding
from app.doctor.recording import Recording
from app.doctor.target import Target
from app.exchange.coinbase.rest import http
from app.util.stop import Stop

_TURN_S = 0.1
_SILENCE_S = 5.0
"""No frame for this long after the time-out of connecting: none will come."""


class Progress(NamedTuple):
    """How far an examination is. Times in seconds, of the exchange."""

    exchange: str
    passed_s: float
    of_s: float
    frames: int
    requests: int


class Examined(NamedTuple):
    """The findings about one exchange. `rest_problem`: why REST never responded; empty if it did."""

    target: Target
    products: list[str]
    findings: list[Finding]
    rest_problem: str
    has_streamed: bool
    """Whether any frame came."""
    passed_s: float
    """Exchange time for which it was listened to."""
    is_interrupted: bool = False

    @property
    def unreachable(self) -> str:
        """Why the exchange cannot be reached; empty if it can."""
        return "" if self.has_streamed else self.rest_problem


class Examination:
    """One run. `wall_ms`: this machine's UNIX time, in milliseconds."""

    def __init__(
        self,
        target: Target,
        minutes: float,
        recording: Recording | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._target = target
        self._seconds = minutes * 60
        self._recording = recording
        self._progress = progress
        self._inbox = Inbox(wall_ms)
        self._wall_ms = wall_ms
        self._stop = Stop()
        self._assumptions: list[Assumption] = []
        self._frames = self._requests = 0
        self._responded = False
        self._problem = ""
        self._began_s = time.monotonic()

    def run(self) -> Examined:
        """Examine for the given minutes of exchange time, but no longer in real time. Ctrl-C ends it sooner.

        Raises `InvalidInput` if the selection of products matches nothing.
        """
        target = self._target
        rest = http(target.rest_url, target.timeout_s)
        products: list[str] = []
        is_interrupted = False
        try:
            asker = Asker(
                rest, target.requests_per_second, self._inbox.put, lambda: self._inbox.exchange_ms, self._stop
            )
            universe = choose(target.products, read_listing(asker))
            products = universe.products
            self._listen(universe, asker)
        except KeyboardInterrupt:
            is_interrupted = True
        finally:
            self._stop.set()
            self._inbox.close()
            self._drain(products)
            rest.close()
        findings = [assumption.finding() for assumption in self._assumptions]
        has_streamed = bool(self._inbox.first_exchange_ms)
        return Examined(target, products, findings, self._rest_problem(), has_streamed, self._passed_s, is_interrupted)

    def _rest_problem(self) -> str:
        return "" if self._responded else self._problem or "no response before it was interrupted"

    def _listen(self, universe: Universe, asker: Asker) -> None:
        self._begin(universe.products)
        questions = Questions(
            asker, universe.busiest_first, self._target.settling_s, lambda: self._inbox.exchange_ms, self._stop
        )
        asking = threading.Thread(target=questions.run, name="questions", daemon=True)
        listener = Listener(self._target, universe.products, universe.sources, self._inbox)
        self._began_s = time.monotonic()
        listener.start()
        asking.start()
        try:
            while asking.is_alive():
                if (evidence := self._inbox.next(_TURN_S)) is not None:
                    self._take(evidence)
                if self._is_over(listener):
                    questions.finish()
                self._report()
        finally:
            self._stop.set()
            for problem in listener.problems():
                self._inbox.put(problem)
            listener.end()

    def _begin(self, products: list[str]) -> None:
        if not self._assumptions:
            self._assumptions = assumptions(self._target, len(products))
            if self._recording is not None:
                self._recording.begin(self._target.exchange, products, self._wall_ms())

    def _is_over(self, listener: Listener) -> bool:
        real_s = time.monotonic() - self._began_s
        if not self._inbox.first_exchange_ms:
            is_unreachable = not self._responded and listener.problems()
            return bool(is_unreachable) or real_s > self._target.timeout_s + _SILENCE_S
        return max(self._passed_s, real_s) >= self._seconds

    @property
    def _passed_s(self) -> float:
        return (self._inbox.exchange_ms - self._inbox.first_exchange_ms) / 1000

    def _take(self, evidence: Evidence) -> None:
        if self._recording is not None:
            self._recording.add(self._target.exchange, evidence)
        for assumption in self._assumptions:
            match evidence:
                case Frame():
                    assumption.frame(evidence)
                case Response():
                    assumption.response(evidence)
                case _:
                    assumption.event(evidence)
        if isinstance(evidence, Frame):
            self._frames += 1
        elif isinstance(evidence, Response):
            self._requests += 1
            self._responded |= bool(evidence.status)
            self._problem = self._problem or evidence.problem

    def _drain(self, products: list[str]) -> None:
        """Take everything that came before the end."""
        self._begin(products)
        while (evidence := self._inbox.next(0)) is not None:
            self._take(evidence)

    def _report(self) -> None:
        self._progress(Progress(self._target.exchange, self._passed_s, self._seconds, self._frames, self._requests))
