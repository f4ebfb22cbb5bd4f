"""The register of faults. A fault strikes and returns its heal function; the plan sets its duration."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.plan import KindOfFault, Liar

if TYPE_CHECKING:
    from tests.simulation.world import World

Heal = Callable[[], None]
Strike = Callable[["World", random.Random], "Heal | None"]

HOUR_S = 3600
KINDS: dict[str, KindOfFault] = {}
STRIKES: dict[str, Strike] = {}


def fault(
    name: str,
    shortest_s: float = 1,
    longest_s: float = HOUR_S,
    *,
    harms: bool = False,
    deceives: Liar = Liar.NONE,
    at_start: float = 0.3,
    of_rest: bool = False,
) -> Callable[[Strike], Strike]:
    def known(strike: Strike) -> Strike:
        KINDS[name] = KindOfFault(shortest_s, longest_s, harms, deceives, at_start, of_rest)
        STRIKES[name] = strike
        return strike

    return known
