"""Candlewick: live candles and MACD-V. This package is the client of its HTTP API, and the command `candlewick`.

    from candlewick import Client

    for candle in Client("http://127.0.0.1:8000").candles("BTC-USD", "5m"):
        print(candle)

The server's own folders (`app`, `workers` …) are beside this file once installed, and in its parent folder in a
checkout. Only the program's own processes have them on their path: your package `app` stays yours.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from candlewick.client import ApiError, Candle, Client, Event

__version__ = "0.2.0"
__all__ = ["ApiError", "Candle", "Client", "Event", "__version__"]

HOME = os.path.dirname(os.path.abspath(__file__))
"""The folder that holds the server's folders and the client."""
if not os.path.isdir(os.path.join(HOME, "client")):
    HOME = os.path.dirname(HOME)
    __path__.append(HOME)


def __getattr__(name: str) -> Any:
    """The names of the client, which is imported when the first one is used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from candlewick import client

    return getattr(client, name)
