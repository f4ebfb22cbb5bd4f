"""Where this program is, and where the data of its launches goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from platformdirs import user_data_path

HOME = Path(__file__).resolve().parents[2]
"""The folder that holds `app/`, `workers/` and the Procfile: a checkout, or the installed package."""

PROCFILE = HOME / "Procfile"


def root() -> Path | None:
    """The checkout that this program runs from; None if it is installed."""
    return HOME if (HOME / "pyproject.toml").is_file() else None


def data_folder(name: str) -> Path:
    """The folder for the data of the launch `name`: in the checkout, or the user's own for an installed program."""
    checkout = root()
    return checkout / "var" / name if checkout else user_data_path("candlewick", appauthor=False) / name


def own_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` for a child process in any folder: `python` is this one, and `app` and `workers` are this program's."""
    return {
        **environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HOME), environ.get("PYTHONPATH")))),
        "PYTHONSAFEPATH": "1",  # the current folder is not searched
    }
