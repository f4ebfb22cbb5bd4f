"""Channels that deliver alerts, one module per kind.

To add one: its settings in `app/alerts/settings.py`, a module here with a class that has `send`, a line in `build.py`.
"""
