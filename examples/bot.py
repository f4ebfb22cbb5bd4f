"""A bot that acts once on each closed bar and misses none, whatever was down: itself, the network or Candlewick.

python examples/bot.py http://127.0.0.1:8000 BTC-USD 5m bot.json
"""

import json
import sys
from pathlib import Path

from candlewick import Client


def act(start: int, macdv: float, signal: str) -> None:
    """Place an order here. A kill between `act` and `save` repeats the bar: use `start` as the order's id."""
    print(start, macdv, signal, flush=True)


def save(file: Path, last: dict) -> None:
    """Replace the file as a whole: a crash leaves the old bar or the new one."""
    file.with_suffix(".new").write_text(json.dumps(last))
    file.with_suffix(".new").replace(file)


def main(url: str, product: str, timeframe: str, file: Path) -> None:
    client = Client(url)
    bars = client.indicators(product, timeframe, limit=500)["series"]
    last = json.loads(file.read_text()) if file.exists() else bars[-1]
    save(file, last)
    for _ in client.events([product], [timeframe], ["indicator"]):
        # The event says when to look. The bars say what happened, also while no event could arrive.
        for bar in client.indicators(product, timeframe, limit=500)["series"]:
            if bar["start"] > last["start"]:
                crossed = (last["histogram"] < 0) != (bar["histogram"] < 0)
                act(bar["start"], bar["macdv"], ("buy" if bar["histogram"] >= 0 else "sell") if crossed else "hold")
                save(file, last := bar)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
