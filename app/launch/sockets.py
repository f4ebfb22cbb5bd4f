"""Sockets of a launch: files that only its user can reach, with paths that are short enough."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

_MAX_PATH_BYTES = 90  # the system's limit is 104 or 108


def socket_path(folder: Path, name: str) -> Path:
    """Path of a process's socket: in `folder`, or in a temporary folder if the path would be too long."""
    path = folder / name
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"candlewick-{os.getuid()}-{digest}" / name


def make_private(folder: Path) -> None:
    """Create `folder`, or remove other users' access. `OSError` if it belongs to another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    anybody_may_make_it = folder.parent.stat().st_mode & stat.S_ISVTX
    if anybody_may_make_it and folder.lstat().st_uid != os.getuid():
        raise PermissionError(errno.EPERM, "it belongs to another user", str(folder))
    folder.chmod(0o700)


def is_answered(path: Path) -> bool:
    """Whether a process listens at `path` now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(os.fsencode(path)) == 0
