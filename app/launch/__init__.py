"""Runs the whole system on one machine: an embedded Redis, every process of the Procfile, and the demo."""
