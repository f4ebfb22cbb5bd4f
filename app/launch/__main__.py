"""`python -m app.launch demo|run`: the whole system in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import sys

from app.launch.command import add_arguments, launch

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m app.launch", description=__doc__)
    parser.add_argument("market", choices=["demo", "run"], help="demo: a local exchange; run: the real feed")
    add_arguments(parser)
    chosen = parser.parse_args()
    sys.exit(launch(chosen.market, chosen))
