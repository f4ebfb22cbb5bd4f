"""Parses TOML and finds the line of each key: parsers drop it, and errors must name it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from app.errors import InvalidInput
from app.util.quoting import readable

Path = tuple[str | int, ...]

DEPTH = 8
"""Deeper tables have no line of their own if a dotted key makes them."""

_TABLE = re.compile(r"\s*(\[\[?)([^\[\]#]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"[\w-]+|\"[^\"]*\"|'[^']*'")


def parse(text: str) -> dict[str, object]:
    """The table in `text`; `InvalidInput` names the line that is not TOML."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise InvalidInput("line 1: lists and tables are nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        reason = re.sub(r" \(at .*\)$", "", str(error))
        where = f"line {line[1]}" if line else f"line {text.count(chr(10)) + 1}"
        raise InvalidInput(f"{where}: {readable(reason[:1].lower() + reason[1:])}") from None
    except ValueError:  # too many digits for Python
        digits = re.search(r"[\d_]{4000,}", text)
        raise InvalidInput(
            f"line {text.count(chr(10), 0, digits.start() if digits else 0) + 1}: a number is too long"
        ) from None


def lines_of(text: str) -> dict[Path, int]:
    """The line (from 1) of each key and table, that of the file itself at `()`. Keys in inline tables are left out."""
    lines: dict[Path, int] = {(): 1}
    for path, line in _lines(text):
        for length in range(1, min(len(path), DEPTH)):
            lines.setdefault(path[:length], line)
        lines[path] = line
    return lines


def _lines(text: str) -> Iterator[tuple[Path, int]]:
    table: Path = ()
    seen: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.match(line):
            table = _parts(header[2])
            if header[1] == "[[":
                seen[table] = seen.get(table, -1) + 1
                table = (*table, seen[table])
            yield table, number
        elif key := _KEY.match(line):
            yield table + _parts(key[1]), number


def _parts(name: str) -> Path:
    return tuple(part.strip("\"'") for part in _PART.findall(name))
