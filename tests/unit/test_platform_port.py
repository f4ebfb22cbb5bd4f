"""A hosting platform's PORT is the web server's, unless CANDLEWICK_WEB_PORT is set."""

from __future__ import annotations

import pytest

from app.errors import InvalidInput
from app.settings import Settings


@pytest.mark.parametrize(
    ("environ", "port"),
    [
        ({}, 8000),
        ({"PORT": "5123"}, 5123),
        ({"PORT": "5123", "CANDLEWICK_WEB_PORT": "6000"}, 6000),
        ({"PORT": "5123", "CANDLEWICK_WEB_PORT": ""}, 5123),
        ({"PORT": ""}, 8000),
        ({"PORT": "tcp://10.0.0.7:80"}, 8000),
    ],
)
def test_which_port_is_used(environ: dict[str, str], port: int) -> None:
    assert Settings.from_environment(environ).web_port == port


def test_an_invalid_port_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"PORT: .*'http'"):
        Settings.from_environment({"PORT": "http"})
