"""The judge of alerts: those that stand and should not, that should and do not, or that did not arrive."""

from __future__ import annotations

from collections.abc import Iterator

from app.alerts.watch import Watched
from app.cache.model import View
from app.candles import State
from app.records import EMPTY, PROVISIONAL, STATE_MASK, Records
from app.repair import mismatches
from app.series import Series
from tests.alerts_reference import Row, expected_alerts, judged_bars, runs_of
from tests.faults.world import World

LATER = 2**32


def wrong_alerts(world: World) -> Iterator[str]:
    """Every alert that is not as it should be, of every series: thin ones, and ones with gaps, too.

    The market goes on meanwhile: the alerts are read last, and only those of bars that had been looked at before count.
    """
    context = world.system.context
    many = [Series("coinbase", p, t) for p in context.products.delivered() for t in context.settings.timeframes]
    watched = [(s, w) for s, w in zip(many, context.indicators.read_watched(many), strict=True) if w]
    views = context.candles.read_many([(series, 0, w.evaluated_s) for series, w in watched])
    corrected = _corrected(world)
    stored, _ = context.alerts.newest(10_000, lambda _: True)
    standing = {a.id for a in stored if not a.withdrawn}
    yield from (f"{i}: was not delivered" for i in standing if f"{i}|raised" not in world.hook.accepted)
    for (series, seen), view in zip(watched, views, strict=True):
        yield from wrong_alerts_of(series, seen, view, standing, corrected.get(series.product, LATER))


def _corrected(world: World) -> dict[str, int]:
    """The first bucket of each product that was corrected."""
    rows = mismatches.latest(world.system.context.redis, 5_000)
    return {row["product"]: row["start"] for row in sorted(rows, key=lambda r: -r["start"])}


def wrong_alerts_of(series: Series, watched: Watched, view: View, standing: set[str], corrected_s: int) -> list[str]:
    """What is wrong with the `standing` alerts (identities) of one series, whose candles are `view`.

    A correction from `corrected_s` on withdraws alerts that it makes wrong; old bars on which it would have raised one
    are no news.
    """
    step = series.timeframe.seconds
    rows = rows_of_view(view.records)
    judged = {start for run in runs_of(rows, step) for start in judged_bars(run)}
    judged.intersection_update(range(watched.floor_s + step, watched.evaluated_s + step, step))
    alerts = expected_alerts(series.product, rows, step, watched.floor_s)
    wanted = {f"{a.rule}|{series.product}|{series.timeframe}|{a.start}" for a in alerts}
    mine = {i for i in standing if f"|{series.product}|{series.timeframe}|" in i and _start_of(i) in judged}
    first_s = series.timeframe.bucket(corrected_s)
    wrong = [f"{i}: stands, and should not" for i in mine - wanted]
    return wrong + [f"{i}: should stand, and does not" for i in wanted - mine if _start_of(i) < first_s]


def rows_of_view(records: Records) -> list[Row]:
    """Closed and confirmed candles as the reference takes them."""
    return [
        Row(start_s, high, low, close, not flags & EMPTY, bool(flags & PROVISIONAL))
        for start_s, flags, _, _, high, low, close, _ in records.tolist()
        if flags & STATE_MASK >= State.CLOSED
    ]


def _start_of(identity: str) -> int:
    return int(identity.rsplit("|", 1)[1])
