"""Mutation testing: small faults are made in copies of the project, and the tests named for each must fail."""
