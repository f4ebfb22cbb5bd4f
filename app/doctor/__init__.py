"""`candlewick doctor`: observes an exchange, and reports which assumptions of this software hold there.

What an assumption concludes is pure: frames, events and responses in, one finding out. Sockets, threads and files are
in `listening`, `asking` and `recording`.
"""
