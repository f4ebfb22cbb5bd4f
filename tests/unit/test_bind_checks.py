"""Nothing listens beyond this machine without a secret."""

from __future__ import annotations

import pytest

from app.bind_checks import check_flower, check_web, is_loopback
from app.errors import InvalidInput
from app.settings import Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_secret(host: str) -> None:
    assert is_loopback(host)
    check_web(Settings(web_host=host))
    check_flower(Settings(flower_address=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "no.such.host.invalid"])
def test_other_addresses_need_a_secret(host: str) -> None:
    with pytest.raises(InvalidInput, match="CANDLEWICK_WEB_TOKEN"):
        check_web(Settings(web_host=host))
    with pytest.raises(InvalidInput, match="CANDLEWICK_FLOWER_BASIC_AUTH"):
        check_flower(Settings(flower_address=host))
    check_web(Settings(web_host=host, web_token="sixteen-or-more-characters"))
    check_flower(Settings(flower_address=host, flower_basic_auth="me:password"))


def test_a_name_with_one_public_address_counts_as_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has no name with several addresses that a test can rely on, so the test makes one."""
    found = [(0, 0, 0, "", ("127.0.0.1", 0)), (0, 0, 0, "", ("192.0.2.7", 0))]
    for some, is_here in ((found[:1], True), (found, False), (found[::-1], False)):
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, some=some, **__: some)
        assert is_loopback("a.name") is is_here


@pytest.mark.parametrize(
    "wrong",
    [
        {"CANDLEWICK_WEB_TOKEN": "short"},
        {"CANDLEWICK_WEB_TOKEN": "with blanks in the middle"},
        {"CANDLEWICK_FLOWER_BASIC_AUTH": "me,my:pass"},
    ],
)
def test_an_invalid_secret_is_refused_and_never_shown(wrong: dict[str, str]) -> None:
    [(name, value)] = wrong.items()
    with pytest.raises(InvalidInput, match=name) as refused:
        Settings.from_environment(wrong)
    assert value not in str(refused.value)


def test_settings_do_not_show_their_secrets() -> None:
    shown = repr(Settings(web_token="sixteen-or-more-characters", flower_basic_auth="me:password"))
    assert "sixteen" not in shown
    assert "me:password" not in shown
