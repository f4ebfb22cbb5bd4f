import pytest

from app.alerts.settings import AlertSettings
from app.errors import InvalidInput
from app.market.timeframes import Timeframe
from app.settings import Settings


def test_defaults_need_no_environment() -> None:
    settings = Settings.from_environment({})
    assert settings.timeframes == (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)
    assert settings.web_host == "127.0.0.1"


def test_the_path_of_a_proxy_ends_without_a_slash() -> None:
    paths = ("", "/", "/candlewick/", "/a/b.c")
    read = [Settings.from_environment({"WEB_ROOT_PATH": path}).web_root_path for path in paths]
    assert read == ["", "", "/candlewick", "/a/b.c"]


def test_lists_and_selections() -> None:
    settings = Settings.from_environment({"PRODUCTS": "BTC-USD, ETH-USD,BTC-USD", "TIMEFRAMES": "1d,5m"})
    assert settings.products == ("BTC-USD", "ETH-USD")
    assert settings.timeframes == (Timeframe.M5, Timeframe.D1)
    assert Settings.from_environment({"PRODUCTS": "top:25:USD"}).products == ("top:25:USD",)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PRODUCTS", "btc", "neither a product"),
        ("PRODUCTS", "all:", "neither a product"),
        ("PRODUCTS", ",", "at least one product"),
        ("TIMEFRAMES", "5m,7m", "TIMEFRAMES: Input should be"),
        ("TIMEFRAMES", "1h", "must contain 5m"),
        ("EXCHANGE_WS_URL", "https://example.com", "starts with ws:// or wss://"),
        ("EXCHANGE_REST_URL", "example.com", "starts with http:// or https://"),
        ("WEB_PORT", "0", "WEB_PORT: Input should be greater"),
        ("INGEST_SHARE", "3/2", "not a share"),
        ("WEB_ROOT_PATH", "candlewick", "must be a path"),
        ("WEB_ROOT_PATH", "/a/../b", "must be a path"),
        ("WEB_ROOT_PATH", "/a?b", "must be a path"),
        ("REST_REQUESTS_PER_SECOND", "nan", "REST_REQUESTS_PER_SECOND"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        Settings.from_environment({name: value})
    assert complaint in str(caught.value)


def test_unknown_names_are_refused_with_a_suggestion_and_others_left_alone() -> None:
    with pytest.raises(InvalidInput, match="EXCHANGE_WS_URLS: no such setting; did you mean EXCHANGE_WS_URL"):
        Settings.from_environment({"EXCHANGE_WS_URLS": "wss://example.com"})
    with pytest.raises(InvalidInput, match="GAP_WHATEVER: no such setting"):
        Settings.from_environment({"GAP_WHATEVER": "1"})
    Settings.from_environment({"PATH": "/bin", "WEB_CONCURRENCY": "2", "HOME": "/"})


def test_all_problems_are_reported_at_once_without_passwords() -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings.from_environment({"REDIS_URL": "http://user:secret@host", "WEB_PORT": "x"})
    assert "REDIS_URL" in str(caught.value)
    assert "WEB_PORT" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_white_space_around_values_is_removed() -> None:
    token = "a-long-enough-token"
    settings = Settings.from_environment({"WEB_TOKEN": f"{token}\n", "PRODUCTS": " BTC-USD\n", "WEB_PORT": " 8001 "})
    assert (settings.web_token, settings.products, settings.web_port) == (token, ("BTC-USD",), 8001)


@pytest.mark.parametrize("name", ["EXCHANGE_REST_URL", "EXCHANGE_WS_URL", "ALERTS_FILE", "PRODUCTS", "WEB_TOKEN"])
@pytest.mark.parametrize("value", ["https//h?key=s3cret", "redis://:s3cret@h", "x://u:s3cret@h/s3cret"])
def test_possible_secrets_are_in_no_message(name: str, value: str) -> None:
    environ = {name: value if name != "WEB_TOKEN" else "s3cret"}
    with pytest.raises(InvalidInput, match=name) as caught:
        AlertSettings.load(Settings.from_environment(environ).alerts_file)
    if name not in ("PRODUCTS", "ALERTS_FILE") or "://" in value:  # a plain name or path must be shown
        assert "s3cret" not in str(caught.value)


def test_settings_show_no_url_that_may_hold_a_password() -> None:
    urls = {"EXCHANGE_REST_URL": "https://u:s3cret@h", "EXCHANGE_WS_URL": "wss://u:s3cret@h"}
    assert "s3cret" not in repr(Settings.from_environment(urls))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("WEB_HOST", "127.0.0.1:9000", "the port belongs in WEB_PORT"),
        ("FLOWER_ADDRESS", "127.0.0.1:9000", "the port belongs in FLOWER_PORT"),
        ("WEB_HOST", "999.1.1.1", "must be an address or a host name"),
        ("WEB_HOST", "-desk", "must be an address or a host name"),
        ("WEB_HOST", "[::1]", "must be an address or a host name"),
        ("WEB_HOST", "fe80::1%a b;c", "must be an address or a host name"),
        ("WEB_HOST", "fe80::1%" + "a" * 16, "must be an address or a host name"),
        ("WEB_HOST", "a." * 130, "must be an address or a host name"),
        ("WEB_TOKEN", "short", "must have 16 to 200 characters"),
        ("FLOWER_BASIC_AUTH", "me:short", "must be user:password"),
        ("EXCHANGE_WS_URL", "wss://:80", "must be a URL"),
        ("EXCHANGE_REST_URL", "https://x:99999", "must be a URL"),
        ("PRODUCTS", "btc-usd", "'btc-usd' is neither a product"),
        ("PRODUCTS", "btc-usd", "write it in capitals"),
        ("PRODUCTS", "BTC-USD;ETH-USD", "'BTC-USD;ETH-USD' is neither"),
        ("PRODUCTS", "BTC-USD;ETH-USD", "separate them by commas"),
        ("WEB_HOST@x", "1", "WEB_HOST@x: no such setting"),
    ],
)
def test_a_wrong_value_is_refused_with_the_valid_values(name: str, value: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings.from_environment({name: value})
    assert expected in str(caught.value)
    assert "pattern" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::1", "fe80::1%eth0", "localhost", "desk_1.example.com", "1e100.net"])
def test_an_address_or_a_name_is_a_host(host: str) -> None:
    assert Settings.from_environment({"WEB_HOST": host}).web_host == host
