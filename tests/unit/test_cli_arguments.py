"""Valid arguments, and those that are refused before anything is looked up."""

from __future__ import annotations

import pytest

from app.cli import main
from app.cli.arguments import parser
from app.market.timeframes import Timeframe


def test_a_series_is_a_product_and_a_timeframe() -> None:
    arguments = parser().parse_args(["candles", "BTC-USD", "1h", "--start", "2025-01-31T12:00:00Z", "--limit", "3"])
    assert (arguments.product, arguments.timeframe) == ("BTC-USD", Timeframe.H1)
    assert (arguments.start, arguments.end, arguments.limit) == (1_738_324_800, None, 3)


def test_the_timeframe_is_5m_if_none_is_named() -> None:
    assert parser().parse_args(["indicators", "BTC-USD"]).timeframe is Timeframe.M5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("candles BTC-USD 7m", "unknown timeframe '7m'"),
        ("candles BTC-USD --start soon", "'soon' is not a time"),
        ("candles BTC-USD --limit many", "invalid int value: 'many'"),
        ("candles", "PRODUCT"),
        ("backfill BTC-USD", "--days"),
        ("statis", "invalid choice: 'statis'"),
        ("", "COMMAND"),
        ("status --jso", "--jso"),
    ],
)
def test_a_wrong_argument_is_named_and_ends_with_2(line: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(line.split())
    assert end.value.code == 2
    assert reason in capsys.readouterr().err
