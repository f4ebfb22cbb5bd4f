"""Changed candles → longer candles, indicators and alerts."""
