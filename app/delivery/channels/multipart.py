"""A form with files, as HTTP carries it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class File(NamedTuple):
    field: str
    name: str
    content_type: str
    content: bytes


def multipart(fields: Mapping[str, bytes], files: Iterable[File], *, boundary: str) -> tuple[bytes, str]:
    """Body and content type. `boundary` must not occur in any content."""
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value for name, value in fields.items()
    ]
    parts += [
        f'Content-Disposition: form-data; name="{f.field}"; filename="{f.name}"\r\n'.encode()
        + f"Content-Type: {f.content_type}\r\n\r\n".encode()
        + f.content
        for f in files
    ]
    line = f"--{boundary}\r\n".encode()
    body = b"".join(line + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"
