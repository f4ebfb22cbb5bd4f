"""Whether the exchange can be reached."""

from __future__ import annotations

import socket

import pytest

from app.launch import connectivity
from app.launch.connectivity import Connectivity, unreachable
from tests.support import eventually, free_port

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectivity, "getproxies", dict)


def test_an_unreachable_host_is_named_with_the_reason() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        there = f"ws://127.0.0.1:{server.getsockname()[1]}"
        found = unreachable([there, f"http://127.0.0.1:{port}"])
        assert found == f"http://127.0.0.1:{port} (Connection refused)"
        assert unreachable([there]) is None
    assert "nowhere.invalid" in (unreachable(["https://nowhere.invalid"]) or "")


def test_behind_a_proxy_nothing_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectivity, "getproxies", lambda: {"https": "http://proxy:1"})
    assert unreachable(["https://nowhere.invalid"]) is None


def test_an_outage_and_its_end_are_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connectivity, "AGAIN_S", 0.02)
    port = free_port()
    watch = Connectivity([f"http://127.0.0.1:{port}"])
    assert "cannot reach" in (eventually(watch.line) or "")
    assert watch.line() is None
    with socket.create_server(("127.0.0.1", port)):
        assert eventually(watch.line) == "the exchange can be reached"
