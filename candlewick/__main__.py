"""`candlewick …`, also `python -m candlewick …`: the command line of `app`."""

import sys

from candlewick import HOME


def main() -> None:
    """Run a command and exit with its code. The program's own folders come first: another `app` is not loaded."""
    sys.path.insert(0, HOME)
    from app.cli import command

    command()


if __name__ == "__main__":
    main()
