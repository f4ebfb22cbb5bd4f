"""What candles are: timeframes, series, records, gaps, carry-forward, aggregation. Pure."""
