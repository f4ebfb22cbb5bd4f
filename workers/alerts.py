"""Tasks that deliver alerts."""

from __future__ import annotations

from functools import cache
from typing import Any

from celery.signals import celeryd_after_setup

from app.delivery.delivery import Delivery
from app.delivery.service import delivery_of, report_misconfigured
from workers.app import ONCE_MORE, app, context
from workers.arguments import DeliverWork, parsed

MESSAGES_PER_TASK = 8
"""Messages that justify another task, if a channel takes several at once."""


@cache
def _delivery() -> Delivery:
    return delivery_of(context(), context().alert_settings.delivery, context().channels)


@celeryd_after_setup.connect
def _report_misconfigured(instance: Any, **_: Any) -> None:
    if "alerts" in instance.app.amqp.queues.consume_from:
        report_misconfigured(context().deliveries, context().channels)


@app.task(name="workers.alerts.deliver", **ONCE_MORE)
def deliver(**arguments: Any) -> None:
    """Deliver the messages of one channel; without a channel, share out all waiting messages among tasks."""
    work: DeliverWork = parsed(DeliverWork, arguments)
    if work.channel is not None:
        if work.channel in context().channels:
            _delivery().drain(work.channel)
        return
    shares = [
        channel
        for channel, count in _delivery().waiting().items()
        for _ in range(min(context().channels[channel].at_once, 1 + count // MESSAGES_PER_TASK))
    ]
    for channel in shares[1:]:
        context().tasks.deliver(channel)
    for channel in shares[:1]:
        _delivery().drain(channel)
