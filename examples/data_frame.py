"""Candles and MACD-V as a pandas data frame, with the values of 1h joined to bars of 5m without looking ahead.

python examples/data_frame.py http://127.0.0.1:8000 BTC-USD btc.csv
"""

import sys

import pandas as pd

from candlewick import Client

HOUR = pd.Timedelta(hours=1)
BAR = pd.Timedelta(minutes=5)


def candles(client: Client, product: str) -> pd.DataFrame:
    """Closed candles of 5m. A bucket without trades has the last price, no volume, and `trades` false."""
    frame = pd.DataFrame(client.candles(product, "5m", limit=500))
    return frame[frame["state"] != "forming"]


def macdv(client: Client, product: str, timeframe: str) -> pd.DataFrame:
    """MACD-V, its signal, its histogram and the stage of each bar."""
    series = client.indicators(product, timeframe, limit=500)["series"]
    return pd.DataFrame(series)[["start", "macdv", "signal", "histogram", "stage"]]


def joined(client: Client, product: str) -> pd.DataFrame:
    """One row per bar of 5m. `…_1h` is the newest hour that was over when the bar was."""
    frame = candles(client, product).merge(macdv(client, product, "5m"), on="start", how="left")
    hours = macdv(client, product, "1h").add_suffix("_1h")
    frame["end"] = pd.to_datetime(frame["start"], unit="s", utc=True).astype("datetime64[ns, UTC]") + BAR
    hours["end_1h"] = pd.to_datetime(hours["start_1h"], unit="s", utc=True).astype("datetime64[ns, UTC]") + HOUR
    return pd.merge_asof(frame, hours, left_on="end", right_on="end_1h").set_index("end")


table = joined(Client(sys.argv[1]), sys.argv[2])
print(table[["close", "macdv", "stage", "macdv_1h", "stage_1h"]].tail())
table.to_csv(sys.argv[3])
