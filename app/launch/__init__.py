"""How the whole system is run on one machine: an embedded Redis, every process of the Procfile, and the demo."""
