"""Reads small text files that a user names."""

from __future__ import annotations

import os
import stat

from app.errors import InvalidInput
from app.util.quoting import path_shown

MAX_BYTES = 256 * 1024


def read_text(path: str) -> str:
    """The text of a regular file; a pipe or a device might never end.

    `InvalidInput` if it cannot be read, is larger than `MAX_BYTES`, or is not UTF-8.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise InvalidInput(f"{path_shown(path)} is not a file")
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InvalidInput(f"{path_shown(path)} is larger than {MAX_BYTES} bytes")
        return raw.decode("utf-8-sig")  # Windows editors write a byte order mark
    except UnicodeDecodeError:
        raise InvalidInput(f"cannot read {path_shown(path)}: it is not UTF-8") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        reason = error.strerror if isinstance(error, OSError) else "its name is not valid"
        raise InvalidInput(f"cannot read {path_shown(path)}: {reason}") from None
