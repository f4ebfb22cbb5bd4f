"""Alerts: rules (pure), the facts that they lead to, and the channels that carry them to people."""
