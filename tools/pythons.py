"""Runs the unit tests with each supported Python that can be had here: `make pythons`, some: VERSIONS="3.12 3.13".

An interpreter is found on the PATH or among those of pyenv and uv, or installed by uv. Each has its own environment in
`var/pythons/`. Prints one line per version; exit code 1 if tests fail, or if no interpreter was found.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
"""Those that pyproject.toml names."""

UV = (sys.executable, "-m", "uv")
PROBE = "import sys, ssl, sqlite3, venv; print('%d.%d' % sys.version_info[:2])"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("versions", nargs="*", default=VERSIONS, help=f"default: {' '.join(VERSIONS)}")
    outcomes = [reported(version) for version in parser.parse_args(arguments).versions]
    return 0 if any(outcomes) and False not in outcomes else 1


def reported(version: str) -> bool | None:
    """`tested`, with its result printed."""
    passed, text = tested(version)
    print(f"Python {version}: {'' if passed is None else 'passed: ' if passed else 'FAILED: '}{text}", flush=True)
    return passed


def tested(version: str) -> tuple[bool | None, str]:
    """Whether the unit tests pass with `version`, and pytest's last line; None if there is no such interpreter."""
    python = found(version) or installed(version)
    if python is None:
        return None, "not here, and it cannot be installed"
    print(f"--- Python {version}: {python}", flush=True)
    try:
        made = environment(version, python)
    except subprocess.CalledProcessError as error:
        return False, f"its packages cannot be installed: exit code {error.returncode}"
    run = subprocess.run(
        [made, "-m", "pytest", "tests/unit", "-n", "auto", "-p", "no:cacheprovider"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if run.returncode:
        print(run.stdout)
    ends = re.findall(r"^.*\d+ (?:passed|failed|error).*$", run.stdout, re.MULTILINE) or [f"exit code {run.returncode}"]
    return run.returncode == 0, ends[-1].strip("= ")


def found(version: str) -> str | None:
    """An interpreter of this machine that works, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    known = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True))]
    return next((python for python in known if python and is_version(python, version)), uv_python("find", version))


def installed(version: str) -> str | None:
    """The same, after uv has tried to install one."""
    subprocess.run([*UV, "python", "install", "--quiet", version], stderr=subprocess.DEVNULL, check=False)
    return uv_python("find", version)


def uv_python(command: str, version: str) -> str | None:
    asked = [*UV, "python", command, "--managed-python", version]
    path = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return path if path and is_version(path, version) else None


def is_version(python: str, version: str) -> bool:
    try:
        return subprocess.run([python, "-c", PROBE], capture_output=True, text=True).stdout.strip() == version
    except OSError:
        return False


def environment(version: str, python: str) -> str:
    """The Python of an environment of `version` with the packages of requirements-dev.lock."""
    folder = ROOT / "var" / "pythons" / version
    if not (folder / "bin" / "python").exists():
        subprocess.run([*UV, "venv", "--quiet", "--python", python, str(folder)], check=True)
    made = str(folder / "bin" / "python")
    command = [*UV, "pip", "sync", "--quiet", "--require-hashes", "--python", made, "requirements-dev.lock"]
    subprocess.run(command, cwd=ROOT, check=True)
    return made


if __name__ == "__main__":
    sys.exit(main())
