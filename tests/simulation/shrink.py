"""Shrinks a failing plan while it still fails: fewer faults, fewer starts, fewer products, shorter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.simulation.plan import HOUR_S, Plan

TRIES = 60
LONG_H = 0.5
"""Hours of running that are worth shortening."""


def shrunk(plan: Plan, fails: Callable[[Plan], bool], tries: int = TRIES) -> Plan:
    """The smallest plan found within `tries` runs. `fails`: whether a plan fails like the first one."""
    progress = True
    while progress and tries > 0:
        progress = False
        for smaller in smaller_than(plan):
            tries -= 1
            if fails(smaller):
                plan, progress = smaller, True
                break
            if tries <= 0:
                break
    return plan


def smaller_than(plan: Plan) -> Iterator[Plan]:
    """Plans that are one step smaller, the smallest first."""
    numbers = [fault.number for fault in plan.faults]
    if len(numbers) > 1:
        yield plan.with_faults(frozenset())
    for number in numbers:
        yield plan.with_faults(frozenset(numbers) - {number})
    if len(plan.starts) > 1:
        yield _without_first_start(plan)
    for product in plan.products[1:]:
        yield _without_product(plan, product.name)
    for i, start in enumerate(plan.starts):
        spare = start.hours - (plan.heal_hours() if i == len(plan.starts) - 1 else 0)
        if spare > LONG_H:
            yield _shorter(plan, i, spare / 2)


def _without_first_start(plan: Plan) -> Plan:
    first, *rest = plan.starts
    gone_s = (first.hours + first.down_hours) * HOUR_S
    faults = tuple(f._replace(at_s=f.at_s - gone_s) for f in plan.faults if f.at_s >= gone_s)
    return replace(plan, begin_s=plan.begin_s + gone_s, starts=tuple(rest), faults=faults)


def _without_product(plan: Plan, name: str) -> Plan:
    starts = tuple(s._replace(products=tuple(p for p in s.products if p != name)) for s in plan.starts)
    return replace(plan, products=tuple(p for p in plan.products if p.name != name), starts=starts)


def _shorter(plan: Plan, i: int, by_hours: float) -> Plan:
    """Start `i` shortened by `by_hours`, in whole buckets; faults that begin in the removed part are removed too."""
    by_s = by_hours * HOUR_S // 300 * 300
    end_s = sum((s.hours + s.down_hours) * HOUR_S for s in plan.starts[:i]) + plan.starts[i].hours * HOUR_S
    heal_s = plan.heal_hours() * HOUR_S if i == len(plan.starts) - 1 else 0.0
    cut_s = end_s - heal_s - by_s
    faults = (
        f if f.at_s < cut_s else f._replace(at_s=f.at_s - by_s)
        for f in plan.faults
        if f.at_s < cut_s or f.at_s >= end_s - heal_s
    )
    starts = (
        *plan.starts[:i],
        plan.starts[i]._replace(hours=plan.starts[i].hours - by_s / HOUR_S),
        *plan.starts[i + 1 :],
    )
    return replace(plan, starts=starts, faults=tuple(faults))
