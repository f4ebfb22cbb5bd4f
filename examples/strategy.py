"""A strategy on closes: long while the average of 10 closes is above that of 30. Trades on paper, prints each trade.

python examples/strategy.py http://127.0.0.1:8000 BTC-USD 5m
"""

import sys
from statistics import fmean

from candlewick import Candle, Client

FAST, SLOW = 10, 30


def is_long(closes: list[float]) -> bool:
    """The decision at the end of the last bar, from the closes up to it alone."""
    return len(closes) >= SLOW and fmean(closes[-FAST:]) > fmean(closes[-SLOW:])


def unseen(client: Client, product: str, timeframe: str, last: int) -> list[tuple[Candle, bool]]:
    """Closed bars after `last`, oldest first, each with its decision. Corrected candles count as they are now."""
    bars = [c for c in client.candles(product, timeframe, limit=500) if c.state != "forming"]
    closes = [bar.close for bar in bars]
    return [(bar, is_long(closes[: number + 1])) for number, bar in enumerate(bars) if bar.start > last]


def main(url: str, product: str, timeframe: str) -> None:
    client, is_in, paid, earned = Client(url), False, 0.0, 0.0
    last = unseen(client, product, timeframe, 0)[-1][0].start
    for _ in client.events([product], [timeframe], ["close"]):
        for bar, wanted in unseen(client, product, timeframe, last):
            if wanted != is_in:
                earned += 0 if wanted else bar.close - paid
                is_in, paid = wanted, bar.close
                print(bar.start, "buy" if wanted else "sell", bar.close, round(earned, 8), flush=True)
            last = bar.start


if __name__ == "__main__":
    main(*sys.argv[1:])
