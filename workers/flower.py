"""The application, as loaded by Flower."""

from __future__ import annotations

from flower.inspector import Inspector  # type: ignore[import-untyped]

from workers.app import app as app

Inspector.max_concurrency = 1  # each concurrent inspection keeps a connection to Redis permanently
