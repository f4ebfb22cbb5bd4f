"""Delivery of an installation: its channels, its secrets, its candles for the charts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from app.alerts.in_force import RulesInForce
from app.alerts.settings import DeliverySettings
from app.delivery.channels.build import MisconfiguredChannel, Secret, build_channels
from app.delivery.channels.channel import Channel
from app.delivery.delivery import Delivery
from app.indicators.macdv import macdv_of
from app.indicators.window import WINDOW
from app.market.carry_forward import contiguous_tail
from app.market.series import Series
from app.market.timeframes import Timeframe
from app.storage.alerts import StoredAlert
from app.storage.candles import CandleCache
from app.storage.clock import ClockCache
from app.storage.deliveries import Deliveries
from app.storage.stores import Stores

log = logging.getLogger(__name__)


class Delivering:
    """Delivery by the rules and channels in force. Safe to use from several threads."""

    def __init__(self, stores: Stores, rules: RulesInForce, secret: Secret) -> None:
        self._stores = stores
        self._rules = rules
        self._secret = secret
        self._lock = threading.Lock()
        self._made: tuple[str, Delivery] | None = None

    def current(self) -> Delivery:
        """The delivery of now. A channel that cannot be built is reported in the log and in its state."""
        with self._lock:
            version, settings = self._rules.read()
            if self._made is None or self._made[0] != version:
                channels = build_channels(settings, self._secret)
                report_misconfigured(self._stores.deliveries, channels)
                self._made = version, delivery_of(self._stores, settings.delivery, channels)
            return self._made[1]


def delivery_of(stores: Stores, settings: DeliverySettings, channels: Mapping[str, Channel]) -> Delivery:
    return Delivery(
        stores.deliveries,
        channels,
        settings,
        lambda alert: chart_of(stores.candles, alert),
        lambda: _exchange_s(stores.clock),
    )


def _exchange_s(clock: ClockCache) -> float | None:
    told = clock.read()
    return told.exchange_s if told else None


def report_misconfigured(deliveries: Deliveries, channels: Mapping[str, Channel]) -> None:
    """Report misconfigured channels in the log and in their state."""
    for name, channel in channels.items():
        if isinstance(channel, MisconfiguredChannel):
            log.error("%s; its messages wait", channel.reason)
            deliveries.disable(name, channel.reason, channel.target)


def chart_of(candles: CandleCache, alert: StoredAlert) -> bytes | None:
    """The chart of an alert; None if its candles are no longer kept."""
    from app.delivery.chart import draw  # here: only delivering processes load it

    fact = alert.fact
    series = Series(fact["exchange"], fact["product"], Timeframe(fact["timeframe"]))
    start_s = fact["start"]
    view = candles.read(series, start_s - (WINDOW - 1) * series.timeframe.seconds, start_s)
    records = contiguous_tail(view.over, series.timeframe)
    if not len(records) or records["start_s"][-1] != start_s:
        return None
    try:
        return draw(records, macdv_of(records), fact)
    except Exception:  # an alert without a chart is better than none
        log.exception("cannot draw the chart of %s: sending the alert without it", alert.id)
        return None
