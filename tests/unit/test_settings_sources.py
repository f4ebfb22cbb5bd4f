"""Where settings come from, which source wins, and which names are judged."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from app import logs
from app.cli import main
from app.errors import InvalidInput
from app.settings import Settings
from app.settings.show import rows

SECRET = "Kq7Zp2Xw9LmT4vRs"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error_of(environ: dict[str, str] | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        Settings.from_environment(environ or {})
    return str(caught.value)


def test_the_order_of_sources(folder: Path) -> None:
    (folder / "secrets").mkdir()
    environ = {"CANDLEWICK_SECRETS_FOLDER": "secrets"}

    def port() -> int:
        return Settings.from_environment(environ).web_port

    assert port() == 8000
    (folder / "candlewick.toml").write_text("web_port = 1001\n")
    assert port() == 1001
    (folder / "secrets" / "candlewick_web_port").write_text("1002\n")
    assert port() == 1002
    environ["PORT"] = "1003"
    assert port() == 1003
    (folder / ".env").write_text("CANDLEWICK_WEB_PORT=1004\n")
    assert port() == 1004
    environ["CANDLEWICK_WEB_PORT"] = "1005"
    assert port() == 1005


def test_a_section_is_completed_from_every_source(folder: Path) -> None:
    (folder / "candlewick.toml").write_text('[coinbase]\nproducts = ["BTC-USD"]\nrest_url = "https://file.example"\n')
    (folder / ".env").write_text("export CANDLEWICK_COINBASE__REST_URL='https://env.example/'  # a comment\n")
    section = Settings.from_environment({"CANDLEWICK_COINBASE__REST_REQUESTS_PER_SECOND": "7"}).exchange("coinbase")
    assert section.products == ("BTC-USD",)
    assert section.rest_url == "https://env.example"
    assert section.rest_requests_per_second == 7
    assert section.ws_url == "wss://advanced-trade-ws.coinbase.com"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_PORT", "tcp://10.0.0.1:8000"),
        ("LOGLEVEL", "info"),
        ("LOG_LEVEL", "info"),
        ("EXCHANGE_API_KEY", "x"),
        ("GAP_YEAR", "1"),
        ("PRODUCTS", "shoes"),
        ("REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("candlewick", "1"),
    ],
)
def test_a_foreign_variable_changes_nothing(name: str, value: str) -> None:
    assert Settings.from_environment({name: value}).model_dump() == Settings().model_dump()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CANDLEWICK_SERVICE_HOST", "10.0.0.1"),
        ("CANDLEWICK_SERVICE_PORT", "8000"),
        ("CANDLEWICK_SERVICE_PORT_HTTP", "8000"),
        ("CANDLEWICK_PORT", "tcp://10.0.0.1:8000"),
        ("CANDLEWICK_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("CANDLEWICK_PORT_8000_TCP_ADDR", "10.0.0.1"),
        ("CANDLEWICK_PORT_8000_TCP_PORT", "8000"),
        ("CANDLEWICK_PORT_8000_TCP_PROTO", "tcp"),
        ("CANDLEWICK_WEB_PORT", "tcp://10.0.0.1:8000"),
        ("CANDLEWICK_WEB_SERVICE_HOST", "10.0.0.1"),
        ("CANDLEWICK_FLOWER_PORT", "tcp://10.0.0.1:5555"),
        ("CANDLEWICK_REDIS_PORT_6379_TCP_ADDR", "10.0.0.1"),
        ("CANDLEWICK_NAME", "/web/candlewick"),
    ],
)
def test_what_a_container_platform_adds_is_ignored_and_named_once(
    name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.from_environment({name: value})
    assert settings.model_dump() == Settings().model_dump()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        logs.configure(settings, "test")
    finally:
        root.handlers[:], root.level = before
    assert capsys.readouterr().err.count(name) == 1


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CANDLEWICK_WEB_PROT", "CANDLEWICK_WEB_PORT"),
        ("CANDLEWICK_LOGLEVEL", "CANDLEWICK_LOG_LEVEL"),
        ("CANDLEWICK_PRODUCTS", "CANDLEWICK_COINBASE__PRODUCTS"),
        ("CANDLEWICK_COINBASE_PRODUCTS", "CANDLEWICK_COINBASE__PRODUCTS"),
        ("CANDLEWICK_COINBAS__WS_URL", "CANDLEWICK_COINBASE__WS_URL"),
        ("CANDLEWICK_REST_REQUESTS_PER_SECOND", "CANDLEWICK_COINBASE__REST_REQUESTS_PER_SECOND"),
        ("candlewick_web_port", "CANDLEWICK_WEB_PORT"),
        ("CANDLEWICK_PORT", "CANDLEWICK_WEB_PORT"),
        ("CANDLEWICK_WEB_PORT_FILE", "CANDLEWICK_WEB_PORT"),
        ("CANDLEWICK_ALERTS_FILE", "in [alerts]"),
    ],
)
def test_a_mistyped_name_is_refused_with_the_right_one(folder: Path, name: str, meant: str) -> None:
    assert f"  {name}: no such setting; " in error_of({name: "1"})
    assert meant in error_of({name: "1"})
    (folder / ".env").write_text(f"# ours\n{name}=1\n")
    assert f"  .env, line 2: {name}: no such setting; " in error_of()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("web_prot = 1", "line 1: web_prot: no such setting; did you mean web_port?"),
        ("\n[coinbas]\nproducts = []", "line 2: coinbas: no such setting; did you mean coinbase?"),
        ("[coinbase]\nprodcts = 1", "line 2: coinbase.prodcts: no such setting; did you mean products?"),
        ("coinbase = 3", "line 1: coinbase: must be a table: [coinbase]"),
        ("alerts = 3", "line 1: alerts: must be a table: [alerts]"),
        ("[coinbase]\n\nproducts = ['btc-usd']", "line 3: coinbase.products: 'btc-usd' is neither a product"),
        ("coinbase.products = ['x']", "line 1: coinbase.products: 'x' is neither a product"),
        ("web_port = true", "line 1: web_port: must not be true or false"),
        ("web_port = inf", "line 1: web_port: "),
        ("timeframes = ['5m', '7m']", "line 1: timeframes.1: Input should be"),
        ("a = 1\nweb_port = = 2", "line 2: "),
        ("[alerts.dlivery]\na = 1", "line 1: alerts.dlivery: no such setting; did you mean delivery?"),
        ("web_token_file = '/none'", "line 1: web_token_file: cannot read /none: No such file"),
        (f"web_token = '{SECRET[:4]}'", "line 1: web_token: must have 16 to 200 characters"),
    ],
)
def test_an_error_in_the_file_has_its_line(folder: Path, text: str, complaint: str) -> None:
    (folder / "candlewick.toml").write_text(text)
    assert f"  candlewick.toml, {complaint}" in error_of()
    assert SECRET[:4] not in error_of()


def test_the_problems_of_all_sources_are_reported_at_once(folder: Path) -> None:
    (folder / "candlewick.toml").write_text("web_prot = 1\nlog_level = 'info'\n")
    (folder / ".env").write_text("no name\nCANDLEWICK_FLOWER_PORT=0\n")
    assert [line.split(": ")[0].strip() for line in error_of({"CANDLEWICK_WEB_PORT": "x"}).splitlines()[1:]] == [
        "CANDLEWICK_WEB_PORT",
        ".env, line 1",
        ".env, line 2",
        "candlewick.toml, line 1",
        "candlewick.toml, line 2",
    ]


def test_a_secret_may_be_in_a_file_of_its_own(folder: Path) -> None:
    (folder / "token").write_text(f"{SECRET}\n")
    (folder / "candlewick.toml").write_text("web_token_file = 'token'\n")
    assert Settings.from_environment({}).web_token == SECRET
    (folder / "other").write_text(f" {SECRET}-2\r\n")
    assert Settings.from_environment({"CANDLEWICK_WEB_TOKEN_FILE": "other"}).web_token == f"{SECRET}-2"
    assert "CANDLEWICK_WEB_TOKEN_FILE: cannot read none: " in error_of({"CANDLEWICK_WEB_TOKEN_FILE": "none"})
    (folder / "empty").write_text("\n")
    assert "CANDLEWICK_WEB_TOKEN_FILE: empty is empty" in error_of({"CANDLEWICK_WEB_TOKEN_FILE": "empty"})


def test_a_folder_of_secrets(folder: Path) -> None:
    place = folder / "secrets"
    place.mkdir()
    (place / "candlewick_web_token").write_text(f"{SECRET}\n")
    (place / "DISCORD_WEBHOOK").write_text("https://hooks.example/1\n")
    (place / "telegram").write_text("1:x\n")
    environ = {"CANDLEWICK_SECRETS_FOLDER": str(place), "PHONE_FILE": str(place / "telegram"), "HOOK": " a\n"}
    settings = Settings.from_environment(environ)
    assert settings.web_token == SECRET
    secrets = settings.reading.secrets
    named = {name: secrets.get(name) for name in ("DISCORD_WEBHOOK", "TELEGRAM", "PHONE", "HOOK", "NONE")}
    assert named == {
        "DISCORD_WEBHOOK": "https://hooks.example/1",
        "TELEGRAM": "1:x",
        "PHONE": "1:x",
        "HOOK": "a",
        "NONE": None,
    }
    (place / "candlewick_web_tokn").write_text("x")
    assert "candlewick_web_tokn: CANDLEWICK_WEB_TOKN: no such setting; did you mean CANDLEWICK_WEB_TOKEN" in error_of(
        environ
    )
    assert "CANDLEWICK_SECRETS_FOLDER: is not a folder" in error_of({"CANDLEWICK_SECRETS_FOLDER": "/none"})


@pytest.mark.parametrize("odd", ["", "[bold]", "\\", "'\"", "é漢", "#;&", "%40", "%(x)s{y}"])
def test_no_secret_is_printed_whatever_it_holds(
    folder: Path, odd: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CANDLEWICK_REDIS_URL", f"redis://u:{SECRET}{odd}@h:1/2")
    monkeypatch.setenv("CANDLEWICK_COINBASE__REST_URL", f"https://u:{SECRET}@h")
    monkeypatch.setenv("CANDLEWICK_COINBASE__WS_URL", f"wss://h/x?key={SECRET}")
    monkeypatch.setenv("CANDLEWICK_FLOWER_BASIC_AUTH", f"me:{SECRET}")
    (folder / ".env").write_text(f"CANDLEWICK_WEB_TOKEN='{SECRET}'\n")
    for command in (["config"], ["config", "--json"], ["config", "--check"]):
        assert main(command) == 0
        printed = "".join(capsys.readouterr())
        assert SECRET[:6] not in printed
    shown = {row.name: row for row in rows(Settings.from_environment())}
    assert str(shown["web_token"].origin) == ".env line 1"
    assert str(shown["redis_url"].origin) == "environment (CANDLEWICK_REDIS_URL)"
    assert shown["coinbase.ws_url"].value == "wss://h/…"


def test_every_setting_is_shown_with_its_origin(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "candlewick.toml").write_text('\n[[alerts.rule]]\nname = "a"\nkind = "level"\nlevels = [150, -150]\n')
    monkeypatch.setenv("CANDLEWICK_CONFIG", "candlewick.toml")
    assert main(["config"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["web_port", "8000", "default"] in lines
    assert ["alerts.rule.0.levels", "150,-150", "candlewick.toml", "line", "5"] in lines


def test_the_check_names_problems_and_what_would_not_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "--check"]) == 0
    (folder / "candlewick.toml").write_text("web_prot = 1\n")
    assert main(["config", "--check"]) == 2
    assert "candlewick.toml, line 1: web_prot" in capsys.readouterr().err
    (folder / "candlewick.toml").write_text("")
    monkeypatch.setenv("CANDLEWICK_WEB_HOST", "0.0.0.0")
    assert main(["config", "--check"]) == 2
    assert "CANDLEWICK_WEB_HOST is '0.0.0.0', which other machines can reach" in capsys.readouterr().err


def test_a_named_file_must_exist(folder: Path) -> None:
    assert "CANDLEWICK_CONFIG: cannot read none.toml: No such file" in error_of({"CANDLEWICK_CONFIG": "none.toml"})
    (folder / ".env").write_text("CANDLEWICK_CONFIG=mine.toml\n")
    (folder / "mine.toml").write_text("web_port = 7\n")
    assert Settings.from_environment({}).web_port == 7
