"""Any value of an environment variable is a setting, or yields one error that names it and shows no secret."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.bind_checks import check_flower, check_web
from app.errors import InvalidInput
from app.settings import Settings
from app.settings.names import fields, variable
from app.settings.problems import MAX_CHARACTERS
from app.storage.address import SCHEMES
from tests.hostile import HUGE, NUMBERS, ODD, SECRET, is_readable, refusal_of, some, texts

NAMES = sorted(map(variable, fields(Settings)))
PATHS = ("CANDLEWICK_REDIS_CA_FILE", "CANDLEWICK_SECRETS_FOLDER", "CANDLEWICK_LAUNCH_REDIS_SERVER")
"""A value that is not a URL is a file name, which an error must show."""


def refusal(environ: dict[str, str]) -> str | None:
    """The error for `environ`, or None if it is accepted; accepted numbers must be usable."""
    try:
        settings = Settings.from_environment(environ)
        check_web(settings)
        check_flower(settings)
    except InvalidInput as error:
        return str(error)
    assert all(math.isfinite(value) for value in settings.model_dump().values() if isinstance(value, float))
    assert is_readable(repr(settings).replace("\\n", ""), longest=300_000)
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_strange_value_is_accepted_or_refused_by_name(name: str) -> None:
    for value in (*HUGE, *NUMBERS, *ODD):
        error = refusal({name: value})
        assert error is None or (name in error and is_readable(error)), value[:40]


@pytest.mark.parametrize("name", NAMES)
def test_any_value_is_accepted_or_refused_by_name(name: str) -> None:
    @some
    @given(texts | st.floats().map(repr) | st.integers().map(str))
    def holds(value: str) -> None:
        error = refusal({name: value})
        assert error is None or (name in error and is_readable(error))

    holds()


urls = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(("", "'", " ", *(f"{s}://" for s in (*SCHEMES, "http", "wss", "x")), "https:/")),
    st.sampled_from(("", "u:", ":", "u:a@", "u:a,", "\u2100")),
    st.just(SECRET),
    st.sampled_from(("", "@", ",b@", "/", "?k=", "\n", "\udcff", "#", "]@[", "@h:1@", "\u2100@")),
    st.text(st.sampled_from("h:/?#@[]%,=&. 0169\n"), max_size=12),
)
"""Some are right; most have typing errors."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("begin", ["", "5m,", "BTC-USD,"])
def test_a_secret_is_shown_neither_whole_nor_in_part(name: str, begin: str) -> None:
    @some
    @example(f"https://u:a,{SECRET},b@h")
    @example(f"https://{SECRET}\u2100@h")
    @example(SECRET)
    @example(SECRET.upper() + SECRET)
    @given(urls)
    def holds(value: str) -> None:
        if name in PATHS and "@" not in value and "://" not in value:
            return
        error = refusal_of(lambda: Settings.from_environment({name: begin + value}))
        assert error is None or (name in error and is_readable(error))

    holds()


def test_long_names_are_cut_and_parts_of_a_list_are_not_listed() -> None:
    for name in ("CANDLEWICK_" + "X" * 5_000, "CANDLEWICK_COINBASE__" + "X" * 5_000, "CANDLEWICK_\x1b[31m"):
        error = refusal({name: "1"})
        assert error is not None
        assert is_readable(error, longest=400)
    error = refusal({"CANDLEWICK_TIMEFRAMES": "7m," * 1_000, "CANDLEWICK_COINBASE__PRODUCTS": "btc," * 1_000})
    assert error is not None
    assert error.count("\n") == 2


@pytest.mark.parametrize(
    "name", ["CANDLEWICK_RECONCILE_SECONDS", "CANDLEWICK_GAP_SCAN_SECONDS", "CANDLEWICK_LAUNCH_EXCHANGE_SPEED"]
)
@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "5e-324", "1e10"])
def test_no_time_is_infinite_or_zero(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        Settings.from_environment({name: value})


def test_a_password_in_capitals_is_not_a_product() -> None:
    for name in NAMES:
        error = refusal({name: "HUNTER2SECRETTOKEN123456"})
        assert error is None or name in (*PATHS, "CANDLEWICK_COINBASE__PRODUCTS") or "HUNTER2" not in error, error


def test_an_error_shows_only_the_mistyped_part() -> None:
    error = refusal(
        {
            "CANDLEWICK_TIMEFRAMES": "1m,5m,15m,30m,1h,7m",
            "CANDLEWICK_WEB_PORT": "80a",
            "CANDLEWICK_RECONCILE_SECONDS": "x" * 200,
        }
    )
    assert error is not None
    assert "(it is '7m')" in error
    assert "(it is '80a')" in error
    assert "(it is a text of 200 characters, not shown: it may hold a password)" in error


def test_a_long_list_of_products_may_have_line_ends() -> None:
    many = [f"P{n}-USD" for n in range(2_000)]
    assert Settings.from_environment({"CANDLEWICK_COINBASE__PRODUCTS": ",\n".join(many)}).coinbase.products == tuple(
        many
    )
    with pytest.raises(
        InvalidInput, match=f"CANDLEWICK_COINBASE__PRODUCTS: is longer than {MAX_CHARACTERS} characters"
    ):
        Settings.from_environment({"CANDLEWICK_COINBASE__PRODUCTS": ",".join(many * 10)})
