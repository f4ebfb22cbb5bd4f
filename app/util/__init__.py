"""Small things that know nothing of candles."""
