"""Alert rules and channels in the file of settings, and how an error names its line."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from app.context import Context
from app.delivery.channels.build import MisconfiguredChannel, build_channels
from app.errors import InvalidInput
from app.launch.plan import ExchangeChoice, make
from app.market.timeframes import Timeframe
from app.settings import Settings
from app.util.files import MAX_BYTES
from tests.alerting import alert_settings
from tests.support import ROOT


def load(path: Path | str, **environ: str) -> Settings:
    return Settings.from_environment({"CANDLEWICK_CONFIG": str(path), **environ})


def test_without_a_section_levels_and_reversals_go_to_the_log() -> None:
    settings = Settings().alerts
    assert [r.name for r in settings.rules] == ["levels", "reversals"]
    assert list(settings.channels) == ["log"]


def test_the_example_of_the_documentation_is_valid_and_shows_every_setting() -> None:
    text = (ROOT / "docs" / "alerts.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    settings = alert_settings(example)
    for part in (*settings.rule, *settings.channel.values(), settings.delivery):
        names = {field.alias or name for name, field in type(part).model_fields.items()} - {"kind"}
        assert not {n for n in names if not re.search(rf"^{n} = ", example, re.MULTILINE)}
    assert {r.kind for r in settings.rule} == {"level", "reversal", "stage", "price"}
    assert {c.kind for c in settings.channel.values()} == {"log", "discord", "webhook", "telegram", "email"}


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin"])
def test_only_regular_files_are_read(path: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (path, str(tmp_path / "pipe"), str(tmp_path)):
        with pytest.raises(InvalidInput, match=r"is not a file|Is a directory|cannot read"):
            load(place)


def test_a_file_is_read_with_a_bound_and_with_the_mark_of_windows(tmp_path: Path) -> None:
    file = tmp_path / "candlewick.toml"
    file.write_bytes(b"\xef\xbb\xbf" + RULE.encode())
    assert load(file).alerts.rules[0].name == "first"
    file.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(InvalidInput, match="larger than"):
        load(file)
    file.write_text("a = " + "[" * 50_000)
    with pytest.raises(InvalidInput, match=r"line 1: "):
        load(file)


def test_a_secret_from_a_file_has_no_line_end() -> None:
    text = '[alerts.channel.discord]\nurl_env = "URL"\n[alerts.channel.telegram]\ntoken_env = "T"\nchat = "1"\n'
    made, same = (
        build_channels(alert_settings(text), {"URL": f"https://h.example/x{end}", "T": f"1:a{end}"}.get)
        for end in ("", "\r\n")
    )
    assert {n: c.target for n, c in made.items()} == {n: c.target for n, c in same.items()}


def test_a_rule_about_unfollowed_series_is_named(tmp_path: Path) -> None:
    file = tmp_path / "candlewick.toml"
    file.write_text(RULE + 'products = ["ETH-USD"]\ntimeframes = ["4h"]\n')

    def named(**env: str) -> list[str]:
        return list(load(file, **env).unfollowed())

    never = "it will never raise an alert for that"
    assert named() == named(CANDLEWICK_COINBASE__PRODUCTS="ETH-USD,BTC-USD") == []
    assert named(CANDLEWICK_COINBASE__PRODUCTS="BTC-USD", CANDLEWICK_TIMEFRAMES="5m,1h") == [
        f"rule 'first' names 4h, but the timeframes are 5m,1h: {never}",
        f"rule 'first' names ETH-USD, but the products are BTC-USD: {never}",
    ]


def test_a_rule_covers_what_it_names() -> None:
    settings = alert_settings(
        '[[alerts.rule]]\nname = "a"\nkind = "level"\nexcept_products = ["X-USD"]\n'
        'timeframes = ["1h"]\ncooldown_bars = 2\n'
    )
    (rule,) = settings.rules
    assert rule.covers("BTC-USD", Timeframe.H1)
    assert not rule.covers("X-USD", Timeframe.H1)
    assert not rule.covers("BTC-USD", Timeframe.M5)
    assert rule.cooldown_s(Timeframe.H1) == 7200


RULE = '[[alerts.rule]]\nname = "first"\nkind = "level"\n\n'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[rule]\n", "line 1: "),
        ('a = 1\nb = "x\n', "line 2: "),
        (
            RULE + '[[alerts.rule]]\nname = "second"\nkind = "lvl"\n',
            "line 7: alerts.rule.1.kind: must be one of level, reversal",
        ),
        (RULE + "[[alerts.rule]]\nkind = 'level'\n", "line 5: alerts.rule.1.name: Field required"),
        (
            '[[alerts.rule]]\nname = "a"\nkind = "level"\nlevels = ["150"]\n',
            "line 4: alerts.rule.0.levels.0: Input should be a valid number",
        ),
        (
            RULE + '[[alerts.rule]]\nname = "second"\nkind = "level"\nlevls = [1]\n',
            "line 8: alerts.rule.1.levls: no such setting",
        ),
        (
            RULE + '[[alerts.rule]]\nname = "x"\nkind = "level"\nlevels = [\n  -150,\n  0,\n]\n',
            "line 5: alerts.rule.1: levels must not",
        ),
        (
            RULE + '[[alerts.rule]]\nname = "first"\nkind = "level"\n',
            "line 6: alerts.rule.1.name: duplicate rule name 'first'",
        ),
        (
            RULE + '[[alerts.rule]]\nname = "x"\nkind = "price"\nprices = [1]\n',
            "line 5: alerts.rule.1.products: Field required",
        ),
        (
            '[[alerts.rule]]\nname = "x"\nkind = "level"\n# why\ntimeframes = ["7m"]\n',
            "line 5: alerts.rule.0.timeframes.0: ",
        ),
        (
            '[[alerts.rule]]\nname = "x"\nkind = "level"\nchannels = ["me"]\n',
            "line 4: alerts.rule.0.channels: unknown channel 'me': use one of ",
        ),
        ('[[alerts.rule]]\nname = "x"\nkind = "level"\ncooldown_bars = 500\n', "line 4: alerts.rule.0.cooldown_bars: "),
        (
            '[alerts.channel.discord]\nurl = "https://x"\nurl_env = "A"\n',
            "line 2: alerts.channel.discord.url: no such setting",
        ),
        (
            '\n[alerts.channel.discord]\nurl_env = "https://x/canary"\n',
            "line 3: alerts.channel.discord.url_env: must be the name of an",
        ),
        ('[alerts.channel.mine]\nurl_env = "A"\n', "line 1: alerts.channel.mine.kind: must be one of log, discord"),
        (
            '[alerts.channel.email]\nhost = "h"\nsender = "a@b"\nto = ["a@b"]\nuser_env = "A"\n',
            "line 1: alerts.channel.email: set both",
        ),
        (
            "[alerts.delivery]\nlease_seconds = 1\n",
            "line 1: alerts.delivery: lease_seconds must be at least three times",
        ),
    ],
)
def test_an_error_names_line_and_reason(
    text: str, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "candlewick.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput) as caught:
        Settings.from_environment({})
    assert f"candlewick.toml, {complaint}" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "candlewick.toml"
    file.write_text('[[alerts.rule]]\nname = "A B"\nkind = "level"\n[alerts.delivery]\ntimeout_seconds = 0\n')
    with pytest.raises(InvalidInput) as caught:
        load(file)
    assert re.findall(r"line (\d+)", str(caught.value)) == ["2", "5"]


def test_every_process_checks_the_file_at_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rules.toml"
    path.write_text("[[alerts.rule]]\nkind = 'level'\n")
    for name, complaint in (
        (str(path), r"rules\.toml, line 1: alerts\.rule\.0\.name: Field required"),
        ("/no/where", "CANDLEWICK_CONFIG: cannot read /no/where: No such file"),
    ):
        monkeypatch.setenv("CANDLEWICK_CONFIG", name)
        with pytest.raises(InvalidInput, match=complaint):
            Context.from_environment()
        with pytest.raises(InvalidInput, match=complaint):
            make(ExchangeChoice.REAL, ROOT / "Procfile", tmp_path, os.environ)


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({}, "the environment variable HOOK is not set"),
        ({"HOOK": "canary"}, "HOOK: it must be a URL"),
        ({"HOOK": "https://user:canary@example.com"}, "must not hold a user or a password"),
        ({"HOOK": "http://192.168.1.1/canary"}, "a private address"),
        ({"HOOK": "http://[::ffff:10.0.0.1]/canary"}, "a private address"),
        ({"HOOK": "http://[64:ff9b::a00:1]/canary"}, "a private address"),
        ({"HOOK": "http://[canary"}, "not a URL"),
    ],
)
def test_a_misconfigured_channel_has_a_reason_without_its_secret(environ: dict[str, str], complaint: str) -> None:
    settings = alert_settings('[alerts.channel.webhook]\nurl_env = "HOOK"\n[alerts.channel.log]\n')
    channels = build_channels(settings, environ.get)
    assert isinstance(channels["webhook"], MisconfiguredChannel)
    assert complaint in channels["webhook"].reason
    assert "canary" not in channels["webhook"].reason
    assert not isinstance(channels["log"], MisconfiguredChannel)
