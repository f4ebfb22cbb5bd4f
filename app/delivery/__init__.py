"""Delivery of alerts: claims, channels, texts, charts."""
