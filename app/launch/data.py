"""What an embedded Redis keeps in its folder: which server wrote it, and what is said where one cannot read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

MARK = "written-by"
FILES = ("appendonlydir", "appendonly.aof")
"""Where servers keep an append-only file; the second is that of Redis before 7.0."""

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
    "or move that folder away: REST gives all candles again, but past alerts, messages that wait to be sent, "
    "recorded corrections and counters do not come back"
)


class Version(NamedTuple):
    """A server's kind and version, without the number of the patch: no patch changes what is written."""

    product: str
    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """What `text`, such as `Redis server v=7.2.4`, says; None where it says nothing of the kind."""
        match = _VERSION.search(text)
        return cls(match[1].capitalize(), int(match[2]), int(match[3])) if match else None

    def __str__(self) -> str:
        return f"{self.product} {self.major}.{self.minor}"

    def reads(self, other: Version) -> bool:
        """Whether this server surely reads what `other` wrote. Valkey goes on from Redis 7.2; later ones differ."""
        if self.product == other.product:
            return self[1:] >= other[1:]
        return self.product == "Valkey" and other[1:] <= (7, 2)


def written_by(folder: Path) -> Version | None:
    """Who wrote what is in `folder`; None where there is nothing, or nobody said so."""
    if not any((folder / name).exists() for name in FILES):
        return None
    try:
        return Version.parse((folder / MARK).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def mark(folder: Path, server: Version) -> None:
    """Note that `server`, which has read all of `folder`, writes to it from now on."""
    (folder / MARK).write_text(f"{server}\n", encoding="utf-8")


def trouble(log: str, folder: Path) -> str | None:
    """Why the server that wrote `log` could not read `folder`, and what can be done; None where it was not that."""
    lines = log.rpartition(_BEGINS)[2].splitlines()
    if newer := next((line for line in lines if _NEWER.search(line)), None):
        return (
            f"the data in {folder} is of a newer server ({_bare(newer)}): "
            f"name the one that wrote it in REDIS_SERVER, {INSTEAD}"
        )
    damaged = next((line for line in lines if _DAMAGED.search(line)), None)
    if damaged is None:
        return None
    file = _TAIL.search(damaged)
    path = folder / "appendonlydir" / file[0] if file else folder / "appendonly.aof"
    cut = (
        f"cut it off at the damage with `redis-check-aof --fix '{path}'`"
        if file or path.exists()
        else "restore a copy of it"
    )
    return f"the data in {folder} is damaged ({_bare(damaged)}): {cut}, {INSTEAD}"


def _bare(line: str) -> str:
    """A line of the log without process, time, and advice of its own."""
    return re.split(r": make a backup|\. You can:", line.partition(" # ")[2] or line)[0].strip()[:200]
