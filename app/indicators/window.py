"""How many candles an indicator uses."""

MIN_CANDLES = 60
"""Candles that a series needs to have an indicator."""

WINDOW = 500
"""An indicator is computed from at most this many of the newest candles."""
