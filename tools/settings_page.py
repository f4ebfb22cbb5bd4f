"""Writes docs/configuration.md: the tables of settings, from the class. `--check` says whether it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pydantic.fields import FieldInfo  # noqa: E402

from app.exchange.registry import names  # noqa: E402
from app.settings import Settings  # noqa: E402
from app.settings.names import fields, is_secret, variable  # noqa: E402
from app.settings.show import plain  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"
BEGIN, END = "<!-- from app/settings, by tools/settings_page.py -->\n", "<!-- end -->\n"


def tables() -> str:
    """One table of an exchange's settings for each exchange, and one of the others."""
    everything = fields(Settings)
    parts = [
        (f"### `[{name}]`", [(path, field) for path, field in everything.items() if path[0] == name])
        for name in names()
    ]
    parts.append(("### The others", [(path, field) for path, field in everything.items() if len(path) == 1]))
    return "\n".join(f"{title}\n\n" + "".join(_rows(rows)) for title, rows in parts)


def _rows(rows: list[tuple[tuple[str, ...], FieldInfo]]) -> Iterator[str]:
    defaults = Settings()
    yield "| variable | in candlewick.toml | default | meaning |\n|---|---|---|---|\n"
    for path, field in rows:
        value = getattr(defaults.exchange(path[0]), path[1]) if len(path) > 1 else getattr(defaults, path[0])
        default = f"`{plain(value)}`" if plain(value) else ""
        meaning = f"{field.description}{' A secret.' if is_secret(field) and not path[1:] else ''}"
        yield f"| `{variable(path)}` | `{path[-1]}` | {default} | {meaning} |\n"


def page() -> str:
    """The page as it should be."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


def main(arguments: list[str]) -> int:
    new = page()
    if arguments == ["--check"]:
        if new != PAGE.read_text(encoding="utf-8"):
            print("docs/configuration.md is out of date: run `make docs`", file=sys.stderr)
            return 1
    else:
        PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
