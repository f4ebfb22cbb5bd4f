"""One installation in one process, in virtual time, under faults, as a function of a seed.

The project's code runs unchanged on a real Redis with the real scripts. Only the exchange, the tasks between processes,
the connections to Redis and time are simulated. `python -m tests.simulation 1-1000` runs seeds.
"""
