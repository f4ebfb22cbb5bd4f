"""Tasks that deliver alerts."""

from __future__ import annotations

from typing import Any

from celery.signals import celeryd_after_setup

from workers.app import ONCE_MORE, app, context
from workers.arguments import DeliverWork, parsed

MESSAGES_PER_TASK = 8
"""Messages that justify another task, if a channel takes several at once."""


@celeryd_after_setup.connect
def _report_misconfigured(instance: Any, **_: Any) -> None:
    if "alerts" in instance.app.amqp.queues.consume_from:
        context().delivering.current()


@app.task(name="workers.alerts.deliver", **ONCE_MORE)
def deliver(**arguments: Any) -> None:
    """Deliver the messages of one channel; without a channel, share out all waiting messages among tasks."""
    work: DeliverWork = parsed(DeliverWork, arguments)
    delivery = context().delivering.current()
    if work.channel is not None:
        if work.channel in delivery.channels:
            delivery.drain(work.channel)
        return
    shares = [
        channel
        for channel, count in delivery.waiting().items()
        for _ in range(min(delivery.channels[channel].at_once, 1 + count // MESSAGES_PER_TASK))
    ]
    for channel in shares[1:]:
        context().tasks.deliver(channel)
    for channel in shares[:1]:
        delivery.drain(channel)
