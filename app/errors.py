"""Every error that this project raises on purpose.

    CandlewickError
    ├── InvalidInput        a message, setting, query or argument from outside is wrong: do not try again as it is
    ├── ExchangeError       the exchange did not give what was asked for
    │   ├── Throttled       over the exchange's limit: pause everybody, then try again
    │   ├── Unavailable     time-out, 5xx, broken body, no network: try again with back-off
    │   └── Refused         the exchange will never answer this request otherwise (404, 400)
    └── Unready             something that must run first is not there yet: try again soon

An error answers the caller's only question: may I try again, and when (`retry_after_s`, where it is known)?
"""

from __future__ import annotations


class CandlewickError(Exception):
    """Base of all errors below."""

    retry_after_s: float | None = None


class InvalidInput(CandlewickError, ValueError):
    """Something from outside is wrong; the text says what, where, and what to do."""


class ExchangeError(CandlewickError):
    """The exchange did not give what was asked for."""


class Throttled(ExchangeError):
    """The exchange says that there were too many requests."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(ExchangeError):
    """No usable answer this time."""


class Contradicted(Unavailable):
    """An answer against what was certain; no other one agrees with it yet."""


class Refused(ExchangeError):
    """The exchange refuses this request for good."""


class Unready(CandlewickError):
    """A part that this one needs has not started yet."""
