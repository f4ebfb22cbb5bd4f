"""What a backfill worker does with the repair queue, on a real Redis and a real exchange."""

from __future__ import annotations

import pytest
import redis

from app.context import Context
from app.exchange.local import LocalExchange, SeededMarket
from app.repair import mismatches
from app.repair.drain import Drain
from app.repair.needs import PAGE
from app.repair.queue import Kind, Request, Why
from app.settings import Settings
from app.timeframes import BASE
from tests.build import series
from tests.oracle import Bar, held
from tests.support import eventually

pytestmark = pytest.mark.integration

START_S = 1_700_006_400
LATER = 60
"""Buckets between a start with a wrong answer and the reconciliation: more than one page reaches back for."""


def test_a_wrong_answer_at_the_start_is_undone_to_its_beginning(redis_client: redis.Redis) -> None:
    opened_s = START_S - 800 * BASE.seconds
    with LocalExchange(SeededMarket(7, start_s=opened_s), speed=0, start_ms=START_S * 1000 + 90_000) as exchange:
        settings = Settings(exchange_rest_url=exchange.rest_url, rest_requests_per_second=10)
        context = Context(settings, redis_client)
        drain = Drain(context, lambda _: None)

        def ask(kind: Kind, why: Why) -> None:
            """Until nothing is left to ask."""
            context.clock.tell(exchange.clock.now_ms())
            context.queue.add([(Request(kind, series().product, BASE), why)])
            eventually(lambda: drain.run(max_s=5) >= 0 and not context.queue.state().total, timeout=30)

        def wrong() -> int:
            view = context.candles.read_whole(series(), BASE.bucket(exchange.clock.now_ms() // 1000))
            rows = exchange.truth(series().product, BASE, view.origin_s)
            fields = ("open", "high", "low", "close", "volume")
            truth = {int(r["start"]): Bar(*(float(r[f]) for f in fields), True) for r in rows}
            return sum(held(view).get(start) != bar for start, bar in truth.items())

        exchange.inject("rest_wrong_product", path="candles", count=1)
        ask(Kind.GAP, Why.START)
        assert wrong() > PAGE - 10, "nothing is known yet that could contradict it"

        exchange.clock.jump(LATER * BASE.seconds * 1000)
        ask(Kind.GAP, Why.GAP)
        ask(Kind.RECONCILE, Why.RECONCILE)
        assert wrong() == 0
        assert len(mismatches.latest(redis_client, 1_000)) >= PAGE - 10, "each of them is on record"
