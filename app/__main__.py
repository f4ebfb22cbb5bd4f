"""`python -m app …`: the command line."""

import gc
import sys

from app.cli import main

gc.set_threshold(10_000, 2, 2)  # what a command imports are objects by the ten thousand, and none is garbage
code = main()
gc.freeze()  # nor is the end of a process the time to look for any: both were a fifth of a short command's time
sys.exit(code)
