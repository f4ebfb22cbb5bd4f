"""Prints a Grafana dashboard with a MACD-V panel per product, for Grafana's Infinity data source (JSON over HTTP).

python examples/grafana.py http://127.0.0.1:8000 5m > macdv.json      # then: Dashboards, New, Import
"""

import json
import sys

from candlewick import Client

SOURCE = {"type": "yesoreyeram-infinity-datasource", "uid": "${source}"}
INPUT = {"name": "source", "label": "Infinity", "type": "datasource", "query": SOURCE["type"]}
LEVELS = [{"value": None, "color": "red"}, {"value": -150, "color": "text"}, {"value": 150, "color": "green"}]


def column(selector: str, kind: str = "number") -> dict:
    return {"selector": selector, "text": selector, "type": kind}


def panel(url: str, product: str, timeframe: str, number: int) -> dict:
    """MACD-V and its signal over time; the thresholds are the levels of overbought and oversold."""
    query = {
        "refId": "A", "datasource": SOURCE, "type": "json", "source": "url", "format": "timeseries",
        "parser": "backend", "root_selector": "series", "url_options": {"method": "GET"},
        "url": f"{url}/v1/indicators/{product}?timeframe={timeframe}&limit=500",
        "columns": [column("start", "timestamp_epoch_s"), column("macdv"), column("signal")],
    }  # fmt: skip
    style = {"custom": {"thresholdsStyle": {"mode": "line"}}, "thresholds": {"mode": "absolute", "steps": LEVELS}}
    place = {"x": number % 2 * 12, "y": number // 2 * 8, "w": 12, "h": 8}
    title, defaults = f"MACD-V {product} {timeframe}", {"defaults": style, "overrides": []}
    return {"type": "timeseries", "title": title, "gridPos": place, "targets": [query], "fieldConfig": defaults}


url, timeframe = sys.argv[1:]
products = [row["product"] for row in Client(url).products() if not row["refused"]]
panels = [panel(url, product, timeframe, number) for number, product in enumerate(products)]
board = {"title": "MACD-V", "schemaVersion": 39, "refresh": "1m", "time": {"from": "now-2d", "to": "now"}}
print(json.dumps({**board, "panels": panels, "templating": {"list": [INPUT]}}, indent=1))
