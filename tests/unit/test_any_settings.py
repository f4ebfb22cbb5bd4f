"""Whatever is in a variable of the environment: a setting, or one sentence that names it and shows no secret."""

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
from tests.hostile import HUGE, NUMBERS, ODD, SECRET, refusal_of, said_well, some, texts

NAMES = sorted(name.upper() for name in LaunchSettings.model_fields)
PATHS = ("ALERTS_FILE", "REDIS_CA_FILE")
"""What is no URL is the name of a file, which a message has to show."""


def refusal(environ: dict[str, str]) -> str | None:
    """What is said of `environ`; None if all of it is taken, and then every number in it is one to work with."""
    try:
        settings = LaunchSettings.from_environment(environ)
        check_web(settings)
        check_flower(settings)
        AlertSettings.load(settings.alerts_file)
    except InvalidInput as error:
        return str(error)
    assert all(math.isfinite(value) for value in settings.model_dump().values() if isinstance(value, float))
    assert said_well(repr(settings).replace("\\n", ""), longest=300_000)
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_strange_value_is_taken_or_refused_by_name(name: str) -> None:
    for value in (*HUGE, *NUMBERS, *ODD):
        said = refusal({name: value})
        assert said is None or (name in said and said_well(said)), value[:40]


@pytest.mark.parametrize("name", NAMES)
def test_any_value_is_taken_or_refused_by_name(name: str) -> None:
    @some
    @given(texts | st.floats().map(repr) | st.integers().map(str))
    def holds(value: str) -> None:
        said = refusal({name: value})
        assert said is None or (name in said and said_well(said))

    holds()


urls = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(("", "'", " ", *(f"{s}://" for s in (*SCHEMES, "http", "wss", "x")), "https:/")),
    st.sampled_from(("", "u:", ":", "u:a@", "u:a,", "\u2100")),
    st.just(SECRET),
    st.sampled_from(("", "@", ",b@", "/", "?k=", "\n", "\udcff", "#", "]@[", "@h:1@", "\u2100@")),
    st.text(st.sampled_from("h:/?#@[]%,=&. 0169\n"), max_size=12),
)
"""Some are right; most have what a slip of the hand makes of them."""


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
        said = refusal_of(lambda: LaunchSettings.from_environment({name: begin + value}))
        assert said is None or (name in said and said_well(said))

    holds()


def test_names_are_cut_too_and_no_part_of_a_list_is_told_apart() -> None:
    for name in ("EXCHANGE_" + "X" * 5_000, "LAUNCH_" + "X" * 5_000, "GAP_\x1b[31m"):
        said = refusal({name: "1"})
        assert said is not None
        assert said_well(said, longest=400)
    said = refusal({"TIMEFRAMES": "7m," * 1_000, "PRODUCTS": "btc," * 1_000})
    assert said is not None
    assert said.count("\n") == 2


@pytest.mark.parametrize("name", ["RECONCILE_SECONDS", "GAP_SCAN_SECONDS", "LAUNCH_EXCHANGE_SPEED"])
@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "5e-324", "1e10"])
def test_no_time_is_endless_and_none_is_nothing(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        LaunchSettings.from_environment({name: value})


def test_a_password_in_capitals_is_no_name_of_a_product() -> None:
    for name in NAMES:
        said = refusal({name: "HUNTER2SECRETTOKEN123456"})
        assert said is None or name in (*PATHS, "PRODUCTS") or "HUNTER2" not in said, said


def test_what_is_shown_of_a_value_is_what_was_mistyped() -> None:
    said = refusal({"TIMEFRAMES": "1m,5m,15m,30m,1h,7m", "WEB_PORT": "80a", "RECONCILE_SECONDS": "x" * 200})
    assert said is not None
    assert "(it is '7m')" in said
    assert "(it is '80a')" in said
    assert "(it is a text of 200 characters, not shown: it may hold a password)" in said


def test_a_long_list_of_products_may_have_line_ends() -> None:
    many = [f"P{n}-USD" for n in range(2_000)]
    assert Settings.from_environment({"PRODUCTS": ",\n".join(many)}).products == tuple(many)
    with pytest.raises(InvalidInput, match=f"PRODUCTS: is longer than {MAX_CHARACTERS} characters"):
        Settings.from_environment({"PRODUCTS": ",".join(many * 10)})
