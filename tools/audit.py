"""Asks which known vulnerabilities the pinned packages have: part of `make check`.

Exit code 1 where there is one. Where nobody can be asked, one line says so, and the exit code is 0. An answer without a
finding holds for a day, or until the lock changes.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-dev.lock"
"""It holds what a running system needs, too."""

ANSWERED = Path(sys.prefix) / ".audited"
MAX_S = 10.0
COMMAND = (sys.executable, "-m", "pip_audit", "--progress-spinner=off", "--timeout=3", "--format=json", "--desc=off")


def main() -> int:
    asked = f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {datetime.now(UTC).date()}"
    if ANSWERED.exists() and ANSWERED.read_text() == asked:
        return 0
    packages = audited()
    if packages is None:
        return skipped("no vulnerability service answers")
    if not any("vulns" in package for package in packages):
        return skipped("the vulnerability service knows none of these packages")
    findings = [finding for package in packages for finding in findings_of(package)]
    unknown = sum("vulns" not in package for package in packages)
    print("\n".join(findings) or f"audit: no known vulnerability in {len(packages) - unknown} packages")
    if unknown:
        print(f"audit: {unknown} packages are not known to the vulnerability service")
    if not findings and not unknown:
        ANSWERED.write_text(asked)
    return 1 if findings else 0


def skipped(why: str) -> int:
    print(f"audit: skipped, {why}")
    return 0


def audited() -> list[dict[str, object]] | None:
    """What is known of each package of the lock; None without an answer."""
    command = [*COMMAND, "--disable-pip", "--require-hashes", "--requirement", str(LOCK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MAX_S, check=False)
        return list(json.loads(done.stdout)["dependencies"])
    except (subprocess.TimeoutExpired, ValueError, KeyError):
        return None


def findings_of(package: dict[str, object]) -> list[str]:
    """One line each: the package, the vulnerability, the versions without it."""
    found = package.get("vulns")
    name = f"{package['name']} {package.get('version')}"
    return [
        f"audit: {name}: {each['id']}, mended in {', '.join(each['fix_versions']) or 'none'}"
        for each in (found if isinstance(found, list) else [])
    ]


if __name__ == "__main__":
    raise SystemExit(main())
