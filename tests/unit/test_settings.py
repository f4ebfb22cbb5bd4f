import pytest

from app.errors import InvalidInput
from app.market.timeframes import Timeframe
from app.settings import Settings


def test_defaults_need_no_environment() -> None:
    settings = Settings.from_environment({})
    assert settings.timeframes == (Timeframe.M5, Timeframe.M15, Timeframe.H1, Timeframe.H4, Timeframe.D1)
    assert settings.web_host == "127.0.0.1"


def test_the_path_of_a_proxy_ends_without_a_slash() -> None:
    paths = ("", "/", "/candlewick/", "/a/b.c")
    read = [Settings.from_environment({"CANDLEWICK_WEB_ROOT_PATH": path}).web_root_path for path in paths]
    assert read == ["", "", "/candlewick", "/a/b.c"]


def test_lists_and_selections() -> None:
    settings = Settings.from_environment(
        {"CANDLEWICK_COINBASE__PRODUCTS": "BTC-USD, ETH-USD,BTC-USD", "CANDLEWICK_TIMEFRAMES": "1d,5m"}
    )
    assert settings.exchange("coinbase").products == ("BTC-USD", "ETH-USD")
    assert settings.timeframes == (Timeframe.M5, Timeframe.D1)
    assert Settings().exchange("coinbase").products == ("top:25:USD",)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("CANDLEWICK_COINBASE__PRODUCTS", "btc", "neither a product"),
        ("CANDLEWICK_COINBASE__PRODUCTS", "all:", "neither a product"),
        ("CANDLEWICK_COINBASE__PRODUCTS", ",", "at least one product"),
        ("CANDLEWICK_TIMEFRAMES", "5m,7m", "CANDLEWICK_TIMEFRAMES: Input should be"),
        ("CANDLEWICK_TIMEFRAMES", "1h", "must contain 5m"),
        ("CANDLEWICK_COINBASE__WS_URL", "https://example.com", "starts with ws:// or wss://"),
        ("CANDLEWICK_COINBASE__REST_URL", "example.com", "starts with http:// or https://"),
        ("CANDLEWICK_WEB_PORT", "0", "CANDLEWICK_WEB_PORT: Input should be greater"),
        ("CANDLEWICK_INGEST_SHARE", "3/2", "not a share"),
        ("CANDLEWICK_WEB_ROOT_PATH", "candlewick", "must be a path"),
        ("CANDLEWICK_WEB_ROOT_PATH", "/a/../b", "must be a path"),
        ("CANDLEWICK_WEB_ROOT_PATH", "/a?b", "must be a path"),
        ("CANDLEWICK_COINBASE__REST_REQUESTS_PER_SECOND", "nan", "CANDLEWICK_COINBASE__REST_REQUESTS_PER_SECOND"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=name) as caught:
        Settings.from_environment({name: value})
    assert complaint in str(caught.value)


def test_all_problems_are_reported_at_once_without_passwords() -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings.from_environment({"REDIS_URL": "http://user:secret@host", "CANDLEWICK_WEB_PORT": "x"})
    assert "REDIS_URL" in str(caught.value)
    assert "CANDLEWICK_WEB_PORT" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_white_space_around_values_is_removed() -> None:
    token = "a-long-enough-token"
    settings = Settings.from_environment(
        {
            "CANDLEWICK_WEB_TOKEN": f"{token}\n",
            "CANDLEWICK_COINBASE__PRODUCTS": " BTC-USD\n",
            "CANDLEWICK_WEB_PORT": " 8001 ",
        }
    )
    assert (settings.web_token, settings.exchange("coinbase").products, settings.web_port) == (
        token,
        ("BTC-USD",),
        8001,
    )


@pytest.mark.parametrize(
    "name",
    [
        "CANDLEWICK_COINBASE__REST_URL",
        "CANDLEWICK_COINBASE__WS_URL",
        "CANDLEWICK_COINBASE__PRODUCTS",
        "CANDLEWICK_WEB_TOKEN",
    ],
)
@pytest.mark.parametrize("value", ["https//h?key=s3cret", "redis://:s3cret@h", "x://u:s3cret@h/s3cret"])
def test_possible_secrets_are_in_no_message(name: str, value: str) -> None:
    environ = {name: value if name != "CANDLEWICK_WEB_TOKEN" else "s3cret"}
    with pytest.raises(InvalidInput, match=name) as caught:
        Settings.from_environment(environ)
    assert "s3cret" not in str(caught.value)


def test_settings_show_no_url_that_may_hold_a_password() -> None:
    urls = {"CANDLEWICK_COINBASE__REST_URL": "https://u:s3cret@h", "CANDLEWICK_COINBASE__WS_URL": "wss://u:s3cret@h"}
    assert "s3cret" not in repr(Settings.from_environment(urls))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("CANDLEWICK_WEB_HOST", "127.0.0.1:9000", "the port belongs in CANDLEWICK_WEB_PORT"),
        ("CANDLEWICK_FLOWER_ADDRESS", "127.0.0.1:9000", "the port belongs in CANDLEWICK_FLOWER_PORT"),
        ("CANDLEWICK_WEB_HOST", "999.1.1.1", "must be an address or a host name"),
        ("CANDLEWICK_WEB_HOST", "-desk", "must be an address or a host name"),
        ("CANDLEWICK_WEB_HOST", "[::1]", "must be an address or a host name"),
        ("CANDLEWICK_WEB_HOST", "fe80::1%a b;c", "must be an address or a host name"),
        ("CANDLEWICK_WEB_HOST", "fe80::1%" + "a" * 16, "must be an address or a host name"),
        ("CANDLEWICK_WEB_HOST", "a." * 130, "must be an address or a host name"),
        ("CANDLEWICK_WEB_TOKEN", "short", "must have 16 to 200 characters"),
        ("CANDLEWICK_FLOWER_BASIC_AUTH", "me:short", "must be user:password"),
        ("CANDLEWICK_COINBASE__WS_URL", "wss://:80", "must be a URL"),
        ("CANDLEWICK_COINBASE__REST_URL", "https://x:99999", "must be a URL"),
        ("CANDLEWICK_COINBASE__PRODUCTS", "btc-usd", "'btc-usd' is neither a product"),
        ("CANDLEWICK_COINBASE__PRODUCTS", "btc-usd", "write it in capitals"),
        ("CANDLEWICK_COINBASE__PRODUCTS", "BTC-USD;ETH-USD", "'BTC-USD;ETH-USD' is neither"),
        ("CANDLEWICK_COINBASE__PRODUCTS", "BTC-USD;ETH-USD", "separate them by commas"),
        ("CANDLEWICK_WEB_HOST@x", "1", "WEB_HOST@x: no such setting; did you mean CANDLEWICK_WEB_HOST"),
    ],
)
def test_a_wrong_value_is_refused_with_the_valid_values(name: str, value: str, expected: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings.from_environment({name: value})
    assert expected in str(caught.value)
    assert "pattern" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::1", "fe80::1%eth0", "localhost", "desk_1.example.com", "1e100.net"])
def test_an_address_or_a_name_is_a_host(host: str) -> None:
    assert Settings.from_environment({"CANDLEWICK_WEB_HOST": host}).web_host == host
