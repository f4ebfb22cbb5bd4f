"""Alerts → people: claims, channels, texts, charts."""
