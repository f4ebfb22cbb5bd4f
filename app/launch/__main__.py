"""`python -m app.launch demo|run`: the whole system in the foreground, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from app.errors import InvalidInput, Unready
from app.launch import plan
from app.launch.launcher import Launcher


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 after a clean stop; 1 if something failed; 2 if the input must be corrected first."""
    parser = argparse.ArgumentParser(prog="python -m app.launch", description=__doc__)
    parser.add_argument(
        "market", choices=[m.value for m in plan.ExchangeChoice], help="demo: a local exchange; run: the real feed"
    )
    parser.add_argument(
        "--procfile", type=Path, default=Path("Procfile"), help="which processes (default: %(default)s)"
    )
    parser.add_argument("--folder", type=Path, help="data, logs and sockets (default: var/demo or var/run)")
    chosen = parser.parse_args(arguments)
    try:
        return Launcher(plan.make(plan.ExchangeChoice(chosen.market), chosen.procfile, chosen.folder, os.environ)).run()
    except InvalidInput as error:
        print(f"cannot start: {error}", file=sys.stderr)
        return 2
    except Unready as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
