"""Records frames and responses as they came: JSON lines, compressed with gzip.

Each line has `kind`, `exchange` and `at_ms` (UNIX milliseconds of this machine); `docs/doctor.md` lists the rest.
The simulator replays the candles of such a file. It holds nothing but the exchange's public data.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import orjson

from app.doctor.coinbase.evidence import Frame, Response
from app.doctor.coinbase.listening import Evidence
from app.errors import InvalidInput
from app.exchange.adapter import Connected, Disconnected

VERSION = 1


class Recording:
    """A file that is being written. Raises `InvalidInput` if it exists or cannot be written."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = gzip.open(path, "xb", compresslevel=6)  # noqa: SIM115
        except FileExistsError:
            raise InvalidInput(f"{path} exists: name another file, or remove it") from None
        except OSError as error:
            raise InvalidInput(f"cannot write {path}: {error.strerror}") from None
        self._at_ms = 0

    def begin(self, exchange: str, products: list[str], wall_ms: int) -> None:
        """The frames and responses of `exchange` follow."""
        self._at_ms = wall_ms
        self._write("recording", exchange, version=VERSION, products=products)

    def add(self, exchange: str, evidence: Evidence) -> None:
        """Record one piece of evidence. What the adapter concludes is not recorded: it follows from the frames."""
        match evidence:
            case Frame():
                self._at_ms = evidence.wall_ms
                data = evidence.data.decode("utf-8", "backslashreplace")
                self._write("frame", exchange, connection=evidence.connection, data=data)
            case Response():
                self._at_ms = evidence.wall_ms
                self._write(
                    "response",
                    exchange,
                    path=evidence.path,
                    params=evidence.params,
                    took_ms=evidence.received_local_ms - evidence.sent_local_ms,
                    status=evidence.status,
                    text=evidence.text,
                )
            case Connected():
                self._write("opened", exchange, connection=evidence.connection)
            case Disconnected():
                self._write("lost", exchange, connection=evidence.connection)

    def close(self) -> None:
        self._file.close()

    def _write(self, kind: str, exchange: str, **content: Any) -> None:
        line = {"kind": kind, "exchange": exchange, "at_ms": self._at_ms, **content}
        self._file.write(orjson.dumps(line) + b"\n")
