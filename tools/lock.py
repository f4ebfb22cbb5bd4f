"""Writes requirements*.lock: the pins of the .txt files, with the hash of every published file. Run `make lock` after
a change of a pin.

The .txt files state why each package is needed. The locks are installed, so a tested file cannot be replaced by
another one. They are valid for every platform and Python from 3.11 on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("requirements.txt", "requirements-dev.txt", "requirements-bench.txt")
HEAD = "# Written by `make lock` from {source}: what it pins, and the hash of every file that is published for it.\n"
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--no-deps",  # the .txt files list everything, which a test checks
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
)


def main() -> int:
    for source in SOURCES:
        command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, source]
        made = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        (ROOT / source).with_suffix(".lock").write_text(HEAD.format(source=source) + made.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
