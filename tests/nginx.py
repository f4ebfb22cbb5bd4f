"""A real nginx with the project's own example, deploy/nginx.conf, on free ports of this machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.support import ROOT, Process, eventually, free_port

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
HOST = "candles.example.com"

needs_nginx = pytest.mark.skipif(
    NGINX is None, reason="the tests of a reverse proxy need nginx: apt install nginx-light"
)

MAIN = """
daemon off;
pid {folder}/pid;
error_log stderr;
{user}
events {{}}
http {{
  {paths}
  include {folder}/site.conf;
}}
"""
KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def proxied(web_port: int, folder: Path, changes: Mapping[str, str]) -> Iterator[str]:
    """The URL of an nginx in front of `web_port`, as https://localhost:port. `changes`: other texts for some of the
    example's. Its files are in `folder`.
    """
    port = free_port()
    certificate = trustme.CA().issue_cert(HOST, "localhost")
    (folder / "key.pem").write_bytes(certificate.private_key_pem.bytes())
    (folder / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    site = (ROOT / "deploy/nginx.conf").read_text(encoding="utf-8")
    places = {
        "listen 443": f"listen 127.0.0.1:{port}",
        "listen [::]:443": f"listen 127.0.0.2:{port}",
        "127.0.0.1:8000": f"127.0.0.1:{web_port}",
        f"/etc/ssl/{HOST}.pem": f"{folder}/chain.pem",
        f"/etc/ssl/private/{HOST}.key": f"{folder}/key.pem",
        "/var/log/nginx/candlewick.log": f"{folder}/access.log",
    }
    for text, other in {**changes, **places}.items():
        assert text in site, f"deploy/nginx.conf has no {text!r}"
        site = site.replace(text, other)
    (folder / "site.conf").write_text(site, encoding="utf-8")
    user = "user root root;" if os.getuid() == 0 else ""  # its default user cannot enter the folder
    paths = "\n  ".join(f"{kind}_temp_path {folder}/{kind};" for kind in KINDS)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, paths=paths, user=user), encoding="utf-8")
    process = Process([str(NGINX), "-e", "stderr", "-c", str(folder / "nginx.conf")], folder / "nginx.log")
    try:
        eventually(lambda: (folder / "pid").read_text().strip() or process.returncode is not None)
        assert process.returncode is None, process.output()
        yield f"https://localhost:{port}"
    finally:
        process.stop()
