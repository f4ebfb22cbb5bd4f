"""Check certificate files before a connection uses them."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path


def problem_of_authority(path: str) -> str | None:
    """Why `path` is not a file of CA certificates; None if it is one."""
    return _unreadable(path) or _refused(lambda context: context.load_verify_locations(path), "no certificate (PEM)")


def problem_of_options(options: Mapping[str, str]) -> str | None:
    """The problem with a file that an option of a URL names; None if there is none."""
    for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        if name in options and (problem := _unreadable(options[name])):
            return f"names an {name} that {problem}"
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        return "names an ssl_keyfile without the ssl_certfile that it belongs to"
    authority, own = options.get("ssl_ca_certs"), options.get("ssl_certfile")
    if authority and (problem := problem_of_authority(authority)):
        return f"names an ssl_ca_certs that {problem}"
    if own and (
        problem := _refused(
            lambda context: context.load_cert_chain(own, options.get("ssl_keyfile"), password=""),
            "no certificate with its key (PEM, without a password)",
        )
    ):
        return f"names an ssl_certfile that {problem}"
    return None


def _unreadable(path: str) -> str | None:
    try:
        if Path(path).is_dir():
            return "is a folder, not a file"
        if Path(path).exists() and not Path(path).is_file():
            return "is not a file"  # opening a pipe would wait for a writer
        with Path(path).open("rb"):
            return None
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _refused(load: Callable[[ssl.SSLContext], None], what: str) -> str | None:
    """Why `load` rejects its files; None if it accepts them."""
    try:
        load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except ssl.SSLError:
        return f"holds {what}"
    return None
