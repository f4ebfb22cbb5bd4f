"""How many candles an indicator rests on."""

MIN_CANDLES = 60
"""A series has an indicator from this many candles on."""

WINDOW = 500
"""An indicator is computed from at most this many of the newest candles."""
