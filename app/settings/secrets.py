"""Secrets that settings name: in variables, in files that variables name, and in a folder of secrets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from app.errors import InvalidInput
from app.util.files import read_text

FILE = "_FILE"
"""`NAME_FILE` names the file that holds the secret `NAME`."""


class Secrets:
    """Reads each secret when it is needed: its file may be a newer one then."""

    def __init__(self, variables: Mapping[str, str] | None = None, folder: str = "") -> None:
        self.variables = variables or {}
        self._folder = folder

    def get(self, name: str) -> str | None:
        """The secret `name`, stripped; None if it is not set. `InvalidInput` if its file cannot be read."""
        if value := self.variables.get(name, "").strip():
            return value
        if path := self.variables.get(name + FILE, "").strip():
            return read_secret(path)
        for spelled in (name, name.lower()) if self._folder else ():
            path = str(Path(self._folder) / spelled)
            if Path(path).is_file():
                return read_secret(path)
        return None


def read_secret(path: str) -> str:
    """The secret in a file: without the line end that editors add. `InvalidInput` if there is none."""
    if secret := read_text(path).strip():
        return secret
    raise InvalidInput(f"{path} is empty")
