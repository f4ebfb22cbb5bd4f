"""Helpers that do not depend on candles."""
