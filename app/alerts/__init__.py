"""Alerts: rules (pure), the facts that they produce, and the settings of rules and channels."""
