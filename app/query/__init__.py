"""Reads: candles, indicators, the overview and the status."""
