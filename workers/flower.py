"""The application as Flower loads it."""

from __future__ import annotations

from flower.inspector import Inspector  # type: ignore[import-untyped]

from workers.app import app as app

Inspector.max_concurrency = 1  # each of those that ask workers at once would keep a connection to Redis for good
