"""The backfill worker at the backfill queue, on a real Redis and a real exchange."""

from __future__ import annotations

import pytest
import redis

from app.backfill.service import Backfill
from app.context import Context
from app.market.timeframes import BASE
from app.settings import Settings
from app.storage import mismatches
from app.storage.products import FollowedProduct
from app.storage.requests import PAGE
from simulator import LocalExchange, SeededMarket
from tests.build import series
from tests.oracle import Bar, held
from tests.support import eventually

pytestmark = [pytest.mark.integration, pytest.mark.long(minutes=1.2)]

START_S = 1_700_006_400
SPEED = 300
"""One bucket per second."""


class Market:
    """An exchange whose clock only moves on request, and an installation of one series without processes."""

    def __init__(self, exchange: LocalExchange, client: redis.Redis) -> None:
        self.exchange = exchange
        settings = Settings(
            coinbase={
                "rest_url": exchange.rest_url,
                "rest_requests_per_second": 10,
                "products": (series().product,),
            },
            timeframes=(BASE,),
        )
        self.context = Context(settings, client)
        self.context.products.follow([FollowedProduct(series().product, series().product)])
        self.backfill = Backfill(self.context, self.context.settings, self.context.budgeted_rest, self.context.tasks)

    def work(self) -> bool:
        """Do the work of beat and a backfill worker."""
        self.context.clock.set(self.exchange.clock.now_ms())
        self.backfill.scan()
        self.backfill.reconcile()
        return self.backfill.drain(max_s=1) >= 0

    def wrong(self, newest_s: int) -> int:
        """How many buckets with trades, up to `newest_s` and in reach of a ring, differ from the exchange."""
        present_s = BASE.last_over(self.exchange.clock.now_ms() / 1000)
        oldest_s = present_s - (self.context.settings.series_capacity - 3) * BASE.seconds
        fields = ("open", "high", "low", "close", "volume")
        rows = self.exchange.truth(series().product, BASE, oldest_s, newest_s + BASE.seconds)
        truth = {int(row["start"]): Bar(*(float(row[f]) for f in fields), True) for row in rows}
        cache = held(self.context.candles.read(series(), oldest_s, newest_s))
        return sum(cache.get(start_s) != bar for start_s, bar in truth.items())


@pytest.mark.usefixtures("tasks")
def test_a_wrong_answer_at_the_start_is_undone_to_its_beginning(redis_client: redis.Redis) -> None:
    start_ms, newest_s = START_S * 1000 + 90_000, START_S - BASE.seconds
    with LocalExchange(SeededMarket(7, start_s=START_S), speed=0, start_ms=start_ms) as exchange:
        market = Market(exchange, redis_client)
        exchange.inject("rest_wrong_product", path="candles", count=1)
        market.work()
        assert market.wrong(newest_s) > PAGE - 10, "nothing is known yet that could contradict it"
        exchange.clock.set_speed(SPEED)
        eventually(lambda: market.work() and not market.wrong(newest_s))
        assert len(mismatches.latest(redis_client, 1_000)) >= PAGE - 10, "each of them is on record"
