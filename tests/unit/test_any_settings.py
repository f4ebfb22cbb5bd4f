"""Any value of an environment variable is a setting, or yields one error that names it and shows no secret."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.alerts.settings import AlertSettings
from app.bind_checks import check_flower, check_web
from app.errors import InvalidInput
from app.launch.settings import LaunchSettings
from app.settings import MAX_CHARACTERS, Settings
from app.storage.address import SCHEMES
from tests.hostile import HUGE, NUMBERS, ODD, SECRET, is_readable, refusal_of, some, texts

NAMES = sorted(name.upper() for name in LaunchSettings.model_fields)
PATHS = ("ALERTS_FILE", "REDIS_CA_FILE")
"""A value that is not a URL is a file name, which an error must show."""


def refusal(environ: dict[str, str]) -> str | None:
    """The error for `environ`, or None if it is accepted; accepted numbers must be usable."""
    try:
        settings = LaunchSettings.from_environment(environ)
        check_web(settings)
        check_flower(settings)
        AlertSettings.load(settings.alerts_file)
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
        error = refusal_of(lambda: LaunchSettings.from_environment({name: begin + value}))
        assert error is None or (name in error and is_readable(error))

    holds()


def test_long_names_are_cut_and_parts_of_a_list_are_not_listed() -> None:
    for name in ("EXCHANGE_" + "X" * 5_000, "LAUNCH_" + "X" * 5_000, "GAP_\x1b[31m"):
        error = refusal({name: "1"})
        assert error is not None
        assert is_readable(error, longest=400)
    error = refusal({"TIMEFRAMES": "7m," * 1_000, "PRODUCTS": "btc," * 1_000})
    assert error is not None
    assert error.count("\n") == 2


@pytest.mark.parametrize("name", ["RECONCILE_SECONDS", "GAP_SCAN_SECONDS", "LAUNCH_EXCHANGE_SPEED"])
@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "5e-324", "1e10"])
def test_no_time_is_infinite_or_zero(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        LaunchSettings.from_environment({name: value})


def test_a_password_in_capitals_is_not_a_product() -> None:
    for name in NAMES:
        error = refusal({name: "HUNTER2SECRETTOKEN123456"})
        assert error is None or name in (*PATHS, "PRODUCTS") or "HUNTER2" not in error, error


def test_an_error_shows_only_the_mistyped_part() -> None:
    error = refusal({"TIMEFRAMES": "1m,5m,15m,30m,1h,7m", "WEB_PORT": "80a", "RECONCILE_SECONDS": "x" * 200})
    assert error is not None
    assert "(it is '7m')" in error
    assert "(it is '80a')" in error
    assert "(it is a text of 200 characters, not shown: it may hold a password)" in error


def test_a_long_list_of_products_may_have_line_ends() -> None:
    many = [f"P{n}-USD" for n in range(2_000)]
    assert Settings.from_environment({"PRODUCTS": ",\n".join(many)}).products == tuple(many)
    with pytest.raises(InvalidInput, match=f"PRODUCTS: is longer than {MAX_CHARACTERS} characters"):
        Settings.from_environment({"PRODUCTS": ",".join(many * 10)})
