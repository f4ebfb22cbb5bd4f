"""`python -m app …`: the command line."""

import gc
import sys

from app.cli import main

gc.set_threshold(10_000, 2, 2)  # a command imports tens of thousands of objects, none of them garbage
code = main()
gc.freeze()  # and no collection at exit: both took a fifth of a short command's time
sys.exit(code)
