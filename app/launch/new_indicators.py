"""Whether an indicator was computed since a launch began."""

from __future__ import annotations

from redis import Redis
from redis.exceptions import RedisError

from app.storage.connection import connect
from app.storage.events import EventStream


class NewIndicators:
    """Indicators in the event stream after the moment at which this was made. Raises redis errors then."""

    def __init__(self, url: str, client: Redis) -> None:
        self._url = url
        self._after = EventStream(client).read(None).position

    def found(self) -> bool:
        """Whether there is one; false while Redis is unavailable."""
        try:
            with connect(self._url) as client:
                while (page := EventStream(client).read(self._after)).events:
                    if any(event.kind == "indicator" for event in page.events):
                        return True
                    self._after = page.position
        except RedisError:
            pass
        return False
