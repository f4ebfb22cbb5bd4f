"""The route `/metrics`, in Prometheus' text format."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from app.context import Context
from app.query.status import Status
from app.storage.events import EventStream
from app.web.metrics.families import families
from app.web.metrics.latency import LatencyWatch
from app.web.metrics.sources import read_sources
from app.web.schemas import ErrorAnswer
from app.web.stream.hub import Hub

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

EXAMPLE = """candlewick_ready 1.0
candlewick_candle_age_seconds{quantile="1",timeframe="5m"} 131.2
candlewick_rest_requests_total{reason="gap",status="ok"} 412.0
"""


class _Installation(Collector):
    """Reads everything at each scrape, one scrape at a time."""

    def __init__(self, context: Context, status: Callable[[], Status], hub: Hub) -> None:
        self._context = context
        self._status = status
        self._hub = hub
        self._latency = LatencyWatch(EventStream(context.redis))
        self._one = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        with self._one:
            sources = read_sources(self._context, self._status())
            yield from families(sources, self._hub.clients, self._hub.lag_s)
            yield from self._latency.read().collect()


def router(context: Context, status: Callable[[], Status], hub: Hub) -> APIRouter:
    routes = APIRouter(tags=["health"])
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(_Installation(context, status, hub))

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {"description": "Prometheus' text format.", "content": {"text/plain": {"example": EXAMPLE}}},
            503: {"model": ErrorAnswer, "description": "Redis is unavailable."},
        },
    )
    def metrics() -> Response:
        """The state of the data, the feed, backfill, queues and Redis, for Prometheus."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    return routes
