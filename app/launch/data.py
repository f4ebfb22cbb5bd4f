"""Data of an embedded Redis: which server wrote it, and the message if a server cannot read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

MARK = "written-by"
FILES = ("appendonlydir", "appendonly.aof")
"""Names of an append-only file; the second is that of Redis before 7.0."""

_VERSION = re.compile(r"(Redis|Valkey)\b.*?(\d+)\.(\d+)", re.IGNORECASE)
_BEGINS = ", just started"
_NEWER = re.compile(r"Can't handle RDB format version")
_DAMAGED = re.compile(
    r"(?:Bad file format|Unexpected end of file|Unrecoverable error) reading the append only file"
    r"|Unknown command .* reading the append only file|[Tt]he AOF manifest|Invalid AOF manifest"
    r"|Unable to obtain the AOF file"
    r"|The AOF file .* doesn't exist|Internal error in RDB|Short read or OOM loading|Wrong RDB checksum|RDB CRC error"
    r"|Error reading the RDB|AOF loading aborted"
)
_TAIL = re.compile(r"appendonly\.aof\.\d+\.incr\.aof")

INSTEAD = (
    "or move that folder away: all candles are fetched again, but past alerts, waiting messages, "
    "recorded corrections and counters are lost"
)


class Version(NamedTuple):
    """A server's kind and version, without the patch number: no patch changes the file format."""

    product: str
    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """The version in `text`, such as `Redis server v=7.2.4`; None if there is none."""
        match = _VERSION.search(text)
        return cls(match[1].capitalize(), int(match[2]), int(match[3])) if match else None

    def __str__(self) -> str:
        return f"{self.product} {self.major}.{self.minor}"

    def reads(self, other: Version) -> bool:
        """Whether this server certainly reads data of `other`. Valkey continues Redis 7.2; later ones differ."""
        if self.product == other.product:
            return self[1:] >= other[1:]
        return self.product == "Valkey" and other[1:] <= (7, 2)


def written_by(folder: Path) -> Version | None:
    """The server that wrote the data in `folder`; None if there is no data or no mark."""
    if not any((folder / name).exists() for name in FILES):
        return None
    try:
        return Version.parse((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def mark(folder: Path, server: Version) -> None:
    """Record that `server`, which has read all of `folder`, writes to it from now on."""
    (folder / MARK).write_text(f"{server}\n", encoding="utf-8")


def trouble(log: str, folder: Path) -> str | None:
    """Why the server that wrote `log` could not read `folder`, and the remedy; None for another cause."""
    lines = log.rpartition(_BEGINS)[2].splitlines()
    if newer := next((line for line in lines if _NEWER.search(line)), None):
        return (
            f"the data in {folder} was written by a newer server ({_bare(newer)}): "
            f"set CANDLEWICK_LAUNCH_REDIS_SERVER to the one that wrote it, {INSTEAD}"
        )
    damaged = next((line for line in lines if _DAMAGED.search(line)), None)
    if damaged is None:
        return None
    file = _TAIL.search(damaged)
    path = folder / "appendonlydir" / file[0] if file else folder / "appendonly.aof"
    cut = (
        f"truncate it at the damage with `redis-check-aof --fix '{path}'`"
        if file or path.exists()
        else "restore a copy of it"
    )
    return f"the data in {folder} is damaged ({_bare(damaged)}): {cut}, {INSTEAD}"


def _bare(line: str) -> str:
    """A line of the log without its process, time and advice."""
    return re.split(r": make a backup|\. You can:", line.partition(" # ")[2] or line)[0].strip()[:200]
