"""Where Redis is: one URL, which names a server, or the Sentinels that know which server it is now. Pure."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

SENTINEL = "redis+sentinel"
GRAMMAR = f"{SENTINEL}://[user:password@]host:port,host:port,…/service[/database]"


class Sentinels(NamedTuple):
    """Sentinels, and the `service` that they watch. The credentials are those of its servers."""

    hosts: tuple[tuple[str, int], ...]
    service: str
    database: int
    user: str | None
    password: str | None


def is_sentinel(url: str) -> bool:
    return url.startswith(f"{SENTINEL}://")


def sentinels_of(url: str) -> Sentinels:
    """What a Sentinel URL says; `ValueError` with its grammar where it does not follow it."""
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    service, _, database = parts.path.strip("/").partition("/")
    try:
        found = tuple(_host(text) for text in hosts.split(","))
        if not service or "/" in database or parts.query or parts.fragment:
            raise ValueError
        return Sentinels(found, service, int(database or 0), unquote(user) or None, unquote(password) or None)
    except ValueError:
        raise ValueError(f"is not {GRAMMAR}") from None


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname or not parts.port:
        raise ValueError
    return parts.hostname, parts.port


def broker_of(url: str) -> tuple[str, dict[str, object]]:
    """`url` as Celery's transport spells it, and the transport options that go with it."""
    if url.startswith("unix://"):
        return url.replace("unix://", "redis+socket://", 1).replace("db=", "virtual_host="), {}
    if url.startswith("rediss://") and "ssl_cert_reqs=" not in url:
        return f"{url}{'&' if '?' in url else '?'}ssl_cert_reqs=required", {}  # unasked, it verifies no certificate
    if not is_sentinel(url):
        return url, {}
    sentinels = sentinels_of(url)
    login = f"{quote(sentinels.user or '')}:{quote(sentinels.password)}@" if sentinels.password else ""
    urls = (f"sentinel://{login}{_netloc(*host)}/{sentinels.database}" for host in sentinels.hosts)
    return ";".join(urls), {"master_name": sentinels.service}


def _netloc(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
