"""Checks the pinned packages for known vulnerabilities: part of `make check`.

Exit code 1 if there is one. If no service responds, it prints one line and exits with 0. A result without a finding is
kept for a day, or until the lock changes.
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
"""Includes the packages of a running system."""

ANSWERED = Path(sys.prefix) / ".audited"
MAX_S = 10.0
COMMAND = (sys.executable, "-m", "pip_audit", "--progress-spinner=off", "--timeout=3", "--format=json", "--desc=off")


def main() -> int:
    asked = f"{hashlib.sha256(LOCK.read_bytes()).hexdigest()} {datetime.now(UTC).date()}"
    if ANSWERED.exists() and ANSWERED.read_text() == asked:
        return 0
    packages = audited()
    if packages is None:
        return skipped("no vulnerability service responds")
    if not any("vulns" in package for package in packages):
        return skipped("the vulnerability service has data on none of these packages")
    findings = [finding for package in packages for finding in findings_of(package)]
    unknown = sum("vulns" not in package for package in packages)
    print("\n".join(findings) or f"audit: no known vulnerability in {len(packages) - unknown} packages")
    if unknown:
        print(f"audit: the vulnerability service has no data on {unknown} packages")
    if not findings and not unknown:
        ANSWERED.write_text(asked)
    return 1 if findings else 0


def skipped(why: str) -> int:
    print(f"audit: skipped, {why}")
    return 0


def audited() -> list[dict[str, object]] | None:
    """The result for each package of the lock; None without a response."""
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
        f"audit: {name}: {each['id']}, fixed in {', '.join(each['fix_versions']) or 'none'}"
        for each in (found if isinstance(found, list) else [])
    ]


if __name__ == "__main__":
    raise SystemExit(main())
