"""Candles: timeframes, series, records, gaps, carry-forward, aggregation. Pure."""
