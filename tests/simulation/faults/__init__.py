"""Every fault, by name."""

from tests.simulation.faults import exchange, rest, stream, system
from tests.simulation.faults.registry import KINDS, STRIKES

__all__ = ["KINDS", "STRIKES", "exchange", "rest", "stream", "system"]
