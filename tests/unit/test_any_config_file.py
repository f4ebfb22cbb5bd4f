"""Any content of the file of settings yields rules and channels, or one error per wrong line without a secret."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.delivery.channels.build import MisconfiguredChannel, build_channels
from app.settings import Settings
from app.util.files import MAX_BYTES
from tests.alerting import alert_settings
from tests.hostile import SECRET, is_readable, refusal_of, some, texts
from tests.support import ROOT

MAX_CHARACTERS = 10 * 600
"""Of an error about ten wrong lines."""

(EXAMPLE,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "alerts.md").read_text(), re.DOTALL)
VALUES = [match.span(1) for match in re.finditer(r"^\w+ = ([^#\n]+)", EXAMPLE, re.MULTILINE)]
"""Positions of the values in the documentation's example."""


def load(file: Path) -> Settings:
    return Settings.from_environment({"CANDLEWICK_CONFIG": str(file)})


def refusal(file: Path, text: str) -> str | None:
    """The error for a file with `text`, or None if it is accepted."""
    file.write_text(text, errors="replace", newline="")
    error = refusal_of(lambda: load(file))
    assert error is None or ("line " in error and is_readable(error, MAX_CHARACTERS))
    return error


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any") / "candlewick.toml"


@some
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.sampled_from([EXAMPLE.encode("utf-16")]))
@example(b"\x00" * MAX_BYTES)
@example(b"a = " + b"9" * 5_000)
@example(b"# c\n\nb = [\n  " + b"1_" * 3_000 + b"1\n]")
@example(b"a." * 2_000 + b"b = 1")
@example(b"a = " + b"{a=" * 60_000)
@example(b"[" + b" " * 200_000 + b"x")
@example(b'k = """\n[' + b" " * 200_000 + b'\n"""')
@example(b"[[alerts.rule]]\nname='x'\nkind='level'\n" * 5_000)
@example(b"\xff\xfe")
@example(b"'" + b"x" * 5_000 + b"' = 1\n'" + b"x" * 5_000 + b"' = 2")
def test_any_bytes_are_settings_or_one_error_that_names_the_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    error = refusal_of(lambda: load(file))
    assert error is None or ("candlewick.toml" in error and is_readable(error, MAX_CHARACTERS))


scalars = (
    texts.filter(lambda text: len(text) < 200 and not any("\ud800" <= c <= "\udfff" for c in text))
    | st.just(SECRET)
    | st.just(f"https://u:{SECRET}@h")
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.sampled_from(["level", "price", "discord", "telegram", "email", "BTC-USD", "5m"])
)
keys = st.sampled_from(["name", "kind", "levels", "products", "timeframes", "channels", "url_env", "chat", "from", "x"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def toml(value: object) -> str:
    """`value` as TOML, on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'
    return json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")


@some
@given(
    st.dictionaries(
        st.sampled_from(["alerts.rule", "alerts.channel", "alerts.delivery", "other", "coinbase", "web_port"]),
        values,
        max_size=3,
    )
)
@example({"alerts.rule": [{"name": SECRET, "kind": SECRET}], "alerts.channel": {"x": SECRET}})
@example({"alerts.channel": {f"https://h/{SECRET}": {"kind": "log"}}})
@example({"alerts.channel": {"discord": {f"https://h/{SECRET}": 1, "url_env": f"https://h/{SECRET}"}}})
def test_any_structure_is_settings_or_one_error_per_wrong_line(file: Path, table: dict[str, object]) -> None:
    refusal(file, "\n".join(f"{name} = {toml(value)}" for name, value in table.items()))


@some
@given(st.sampled_from(VALUES), values.map(toml) | texts)
@example(VALUES[0], f'"{SECRET}"')
@example(VALUES[0], f"{SECRET}")
def test_any_value_in_the_example_is_accepted_or_its_line_is_named(
    file: Path, span: tuple[int, int], junk: str
) -> None:
    refusal(file, EXAMPLE[: span[0]] + junk + EXAMPLE[span[1] :])


def test_a_secret_in_the_place_of_any_value_is_not_shown(file: Path) -> None:
    errors = [refusal(file, EXAMPLE[:a] + f'"https://h/{SECRET}"' + EXAMPLE[b:]) for a, b in VALUES]
    assert sum(error is not None for error in errors) > len(VALUES) / 2


def test_the_first_of_many_wrong_lines_are_named(file: Path) -> None:
    rule = '[[alerts.rule]]\nname = "x"\nkind = "level"\nchannels = ["y"]\n'
    error = refusal(file, rule * (MAX_BYTES // len(rule)))
    assert error is not None
    assert error.count("line ") == 10


CHANNELS = """
[alerts.channel.discord]
url_env = "A"
[alerts.channel.webhook]
url_env = "A"
secret_env = "B"
[alerts.channel.telegram]
token_env = "A"
chat = "1"
[alerts.channel.email]
host = "h"
sender = "a@b.example"
to = ["a@b.example"]
user_env = "A"
password_env = "B"
"""


@some
@given(texts | st.builds("https://{}/{}".format, texts, texts), texts)
@example(f"https://h.example/{SECRET}\udcff", "x")
@example(f"https://u:{SECRET}@h.example/", "x")
@example(f"https://{SECRET}\u2100.example/", f"{SECRET}\udcff")
def test_a_channel_with_any_secret_is_made_or_names_the_wrong_variable(first: str, second: str) -> None:
    made = build_channels(alert_settings(CHANNELS), {"A": first, "B": second}.get)
    for name, channel in made.items():
        assert channel.target
        if isinstance(channel, MisconfiguredChannel):
            assert channel.reason.startswith(f"channel {name}: ")
            assert is_readable(channel.reason, 300)


@some
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"CANDLEWICK_WEB_TOKEN='" + SECRET[:10].encode() + b"'\n")
@example(b"CANDLEWICK_WEB_TOKEN='" + SECRET.encode())
@example(b"A=" + b"x" * MAX_BYTES)
@example(b"\x00=1")
def test_any_bytes_in_dotenv_are_variables_or_one_error_that_names_it(file: Path, content: bytes) -> None:
    folder = file.parent / "dotenv"
    folder.mkdir(exist_ok=True)
    (folder / ".env").write_bytes(content)
    before = os.getcwd()
    os.chdir(folder)
    try:
        error = refusal_of(lambda: Settings.from_environment({}))
    finally:
        os.chdir(before)
    assert error is None or (".env" in error and is_readable(error, MAX_CHARACTERS))
