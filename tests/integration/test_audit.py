"""`make check` fails for a known vulnerability, but not for problems of the request itself."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.alerting import service
from tests.support import free_port
from tools import audit

pytestmark = pytest.mark.integration

LOCK = "".join(f"{pin} --hash=sha256:{'0' * 64}\n" for pin in ("certifi==2026.10.18", "idna==3.18"))


@pytest.fixture(autouse=True)
def of_our_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "some.lock").write_text(LOCK)
    monkeypatch.setattr(audit, "LOCK", tmp_path / "some.lock")
    monkeypatch.setattr(audit, "ANSWERED", tmp_path / "answered")
    monkeypatch.setattr(audit, "MAX_S", 120.0)  # beside other tests it has a part of a core
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")


def test_a_vulnerability_fails_the_check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    affected = {
        "package": {"name": "certifi", "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2027.1.1"}]}],
        "versions": ["2026.10.18"],
    }
    known = {"id": "GHSA-0000-0000-0000", "summary": "bad", "details": "bad", "affected": [affected]}
    with service(lambda number: (200, {}, orjson.dumps({"vulns": [known]} if number == 0 else {}))) as osv:
        monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"{osv.url}/v1/query")
        assert audit.main() == 1
    assert capsys.readouterr().out == "audit: certifi 2026.10.18: GHSA-0000-0000-0000, fixed in 2027.1.1\n"
    assert not audit.ANSWERED.exists()


def test_a_good_answer_holds_until_the_lock_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    with service() as osv:
        monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"{osv.url}/v1/query")
        assert [audit.main(), audit.main(), len(osv.got)] == [0, 0, 2]
        audit.LOCK.write_text(LOCK + "\n")
        assert [audit.main(), len(osv.got)] == [0, 4]


def test_without_an_answer_it_is_skipped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{free_port()}/v1/query")
    assert audit.main() == 0
    assert capsys.readouterr().out == "audit: skipped, no vulnerability service responds\n"
