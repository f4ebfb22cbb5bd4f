"""What is particular to Coinbase: how to listen, what to ask, and what the software assumes about it."""
