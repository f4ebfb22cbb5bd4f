"""The web application: its routes, errors and limits."""

from __future__ import annotations

from fastapi import FastAPI

from app.context import Context
from app.query.lookup import Lookup
from app.query.status import read_status
from app.storage.events import EventStream
from app.storage.forming import FormingFeed
from app.util.caches import kept_for
from app.web import alerts, corrections, data, docs, errors, health, openapi, overview, pages, root_path
from app.web.concurrency_limit import ConcurrencyLimitMiddleware
from app.web.host_check import HostCheckMiddleware
from app.web.metrics import route as metrics
from app.web.rate_limit import RateLimitMiddleware
from app.web.stream import route as stream
from app.web.stream.hub import Hub
from app.web.token_auth import TokenAuthMiddleware
from candlewick import __version__

STATUS_FOR_S = 0.5
"""Reading the whole state is expensive: concurrent requests share one answer."""

ABOUT = """Candles and MACD-V of every followed product, as they are in the cache. Times are UNIX seconds of the
exchange's clock. Every error has the same shape; `503` comes with `Retry-After`."""


def create_app(context: Context) -> FastAPI:
    """The application. It reads from the Redis of `context`, whose calls must time out within a few seconds."""
    app = FastAPI(
        title="Candlewick",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # they load from another host
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    lookup = Lookup(context, context.settings.timeframes)
    app.state.hub = Hub(EventStream(context.redis), FormingFeed(context.redis, context.exchange))
    status = kept_for(STATUS_FOR_S, lambda: read_status(context, context.settings))
    errors.install(app)
    app.add_middleware(ConcurrencyLimitMiddleware)
    if context.settings.web_token:
        app.add_middleware(TokenAuthMiddleware, token=context.settings.web_token)
    else:
        app.add_middleware(HostCheckMiddleware, names=context.settings.web_hosts)
    app.add_middleware(
        RateLimitMiddleware, per_second=context.settings.web_requests_per_second
    )  # it counts bad tokens too
    app.include_router(data.router(lookup))
    app.include_router(stream.router(app.state.hub, lookup))
    app.include_router(health.router(status))
    app.include_router(metrics.router(context, status, app.state.hub))
    app.include_router(overview.router(context, status))
    app.include_router(corrections.router(context))
    app.include_router(alerts.router(context))
    app.include_router(docs.router(app))
    pages.install(app, context.settings)
    openapi.install(app, needs_token=bool(context.settings.web_token))
    root_path.install(app, context.settings.web_root_path)  # outermost: the others name routes
    return app
