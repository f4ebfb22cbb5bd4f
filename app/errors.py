"""Every error that this project raises on purpose.

    CandlewickError
    ├── InvalidInput        a message, setting, query or argument from outside is wrong: do not retry it unchanged
    ├── ExchangeError       the exchange did not deliver the requested data
    │   ├── Throttled       over the exchange's limit: pause all workers, then retry
    │   ├── Unavailable     time-out, 5xx, broken body, no network: retry with back-off
    │   └── Refused         the exchange refuses this request permanently (404, 400)
    └── Unready             a part that must run first has not started yet: retry soon

The class decides whether to retry; `retry_after_s` is the delay, if known.
"""

from __future__ import annotations


class CandlewickError(Exception):
    """Base of all errors below."""

    retry_after_s: float | None = None


class InvalidInput(CandlewickError, ValueError):
    """Input from outside is wrong; the text names the problem, its place and the remedy."""


class ExchangeError(CandlewickError):
    """The exchange did not deliver the requested data."""


class Throttled(ExchangeError):
    """The exchange received too many requests."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(ExchangeError):
    """No usable response this time."""


class Contradicted(Unavailable):
    """A response contradicts certain data; no second one confirms it yet."""


class Refused(ExchangeError):
    """The exchange refuses this request permanently."""


class Unready(CandlewickError):
    """A required part has not started yet."""
