"""Flower's command, which only the process that runs it imports."""

from __future__ import annotations

from flower.command import flower as flower  # type: ignore[import-untyped]
from flower.inspector import Inspector  # type: ignore[import-untyped]

Inspector.max_concurrency = 1  # each concurrent inspection keeps a connection to Redis permanently
