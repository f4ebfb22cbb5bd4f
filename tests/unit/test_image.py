"""The image and the compose file, as they are read: `make image-test` executes them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from tests.image.build import DOCKERFILE, SUITES
from tests.image.compose import COMPOSE, services
from tests.image.dockerfile import Step, ignore_patterns, is_sent, parse
from tests.support import ROOT
from tests.system import PROCFILE


def test_a_dockerfile_is_stages_of_steps() -> None:
    text = '# about\nFROM debian AS a\nRUN one \\\n    && two\nFROM a\nCOPY --from=a /x /y\nCMD ["web"]\n'
    first, last = parse(text)
    assert (first.base, first.name, last.base, last.name) == ("debian", "a", "a", "1")
    assert first.steps == [Step("RUN", {}, "one      && two")]
    assert last.steps[0] == Step("COPY", {"from": "a"}, "/x /y")
    assert (last.steps[0].words, last.steps[1].words) == (["/x", "/y"], ["web"])
    with pytest.raises(ValueError, match="does not know 'VOLUME"):
        parse("FROM a\nVOLUME /x\n")


def test_the_image_is_made_of_what_runs_and_of_nothing_else() -> None:
    patterns = ignore_patterns((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    sent = {
        path: is_sent(PurePosixPath(path), patterns) for path in ("app/web/app.py", "requirements.lock", "Procfile")
    }
    assert all(sent.values()), sent
    kept = ("deploy/secrets/candlewick_web_token", ".env", "candlewick.toml", "var/run/redis/x.aof", ".git/config")
    for path in (*kept, "tests/support.py", "app/__pycache__/tasks.cpython-311.pyc"):
        assert not is_sent(PurePosixPath(path), patterns), path


def test_the_image_begins_with_a_known_system_and_ends_as_another_user() -> None:
    stages = parse(DOCKERFILE.read_text(encoding="utf-8"))
    assert {stage.base for stage in stages} <= {*SUITES, *(stage.name for stage in stages)}
    assert [step.text for step in stages[-1].steps if step.name == "USER"] == ["10001:10001"]


def test_the_compose_file_runs_each_process_that_needs_no_other_in_its_container() -> None:
    found = services(COMPOSE.read_text(encoding="utf-8"), Path("deploy"))
    assert set(found) == {"redis", *PROCFILE} - {"watchdog"}, "each container is watched by its health check"
    assert all(service.health for service in (found["redis"], found["flower"]))


@pytest.mark.parametrize(
    ("text", "other", "problem"),
    [
        ("read_only: true", "read_only: false", "not confined"),
        ("read_only: true", "read_only: maybe", "expected a boolean"),
        ("cap_drop: [ALL]", "", "not confined"),
        ("restart: unless", "restrat: unless", "restrat"),
        ("secrets: [candlewick_web_token]", "secrets: [none]", "not defined"),
    ],
)
def test_a_wrong_or_weaker_compose_file_is_found(text: str, other: str, problem: str) -> None:
    whole = COMPOSE.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=problem):
        services(whole.replace(text, other), Path("deploy"))
