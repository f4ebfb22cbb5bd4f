"""The report of a whole run: exchanges and machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from app.doctor import machine
from app.doctor.examination import Examination, Examined, Progress
from app.doctor.finding import Finding, Verdict
from app.doctor.recording import Recording
from app.doctor.secrets import Scrubber, origin
from app.doctor.target import EXAMINED, Target, targets
from app.settings import Settings
from app.settings.names import fields, is_secret

FINE, FAILED, UNREACHABLE = 0, 1, 2
_PACKAGES = ("candlewick", "websocket-client", "requests", "urllib3", "certifi", "redis", "celery", "pydantic")


class Report(NamedTuple):
    """Everything that was found. No text in it holds a secret of the settings or of the environment."""

    exchanges: Sequence[Examined]
    machine: Sequence[Finding]
    versions: dict[str, str]
    unknown: Sequence[str] = ()
    """Followed exchanges that cannot be examined."""

    @property
    def code(self) -> int:
        """Exit code: 0 if all that was seen holds, 1 if something does not, 2 if an exchange cannot be reached."""
        if any(examined.unreachable for examined in self.exchanges):
            return UNREACHABLE
        findings = [*self.machine, *(f for examined in self.exchanges for f in examined.findings)]
        return FAILED if any(f.verdict is Verdict.FAILS for f in findings) else FINE

    def as_dict(self) -> dict[str, Any]:
        """For a bug report."""
        return {
            "exit_code": self.code,
            "exchanges": [
                {
                    "exchange": examined.target.exchange,
                    "stream": origin(examined.target.ws_url),
                    "rest": origin(examined.target.rest_url),
                    "requests_per_second": examined.target.requests_per_second,
                    "products": list(examined.products),
                    "listened_seconds": round(examined.passed_s, 1),
                    "interrupted": examined.is_interrupted,
                    "unreachable": examined.unreachable or None,
                    "assumptions": [finding._asdict() for finding in examined.findings],
                }
                for examined in self.exchanges
            ],
            "not_examined": list(self.unknown),
            "machine": [finding._asdict() for finding in self.machine],
            "versions": self.versions,
        }


def examine(
    settings: Settings,
    minutes: float,
    record: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Report:
    """Examine every exchange of `settings`, one after the other, and this machine. Ctrl-C ends the listening.

    Raises `InvalidInput` if `record` exists or cannot be written, or if the selection of products matches nothing.
    """
    recording = Recording(record) if record else None
    try:
        exchanges = list(_examined(targets(settings), minutes, recording, progress))
    finally:
        if recording is not None:
            recording.close()
    findings = [*machine.redis(settings), *_of_exchanges(exchanges), *machine.ports(settings)]
    scrubber = _scrubber(settings)
    return Report(
        [_clean(examined, scrubber) for examined in exchanges],
        [_clean_finding(finding, scrubber) for finding in findings],
        _versions(),
        [name for name in settings.exchanges if name not in EXAMINED],
    )


def _examined(
    of: Sequence[Target], minutes: float, recording: Recording | None, progress: Callable[[Progress], None]
) -> Iterator[Examined]:
    """Each target, until one is interrupted."""
    for target in of:
        examined = Examination(target, minutes, recording, progress).run()
        yield examined
        if examined.is_interrupted:
            return


def _of_exchanges(exchanges: Sequence[Examined]) -> Iterator[Finding]:
    """Findings about the way to the exchanges; the same one only once."""
    found = (check(examined) for examined in exchanges for check in (machine.proxy, machine.trust))
    yield from dict.fromkeys(found)


def _clean(examined: Examined, scrubber: Scrubber) -> Examined:
    findings = [_clean_finding(finding, scrubber) for finding in examined.findings]
    return examined._replace(findings=findings, rest_problem=scrubber.text(examined.rest_problem))


def _clean_finding(finding: Finding, scrubber: Scrubber) -> Finding:
    return finding._replace(seen=scrubber.text(finding.seen))


def _scrubber(settings: Settings) -> Scrubber:
    proxies = [os.environ.get(name, "") for name in os.environ if name.lower().endswith("_proxy")]
    secret = [path for path, field in fields(type(settings)).items() if is_secret(field)]
    values = [str(reduce(getattr, path, settings)) for path in secret]
    urls = [value for value in values if "://" in value]
    return Scrubber([*urls, *proxies], [value for value in values if "://" not in value])


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return found
