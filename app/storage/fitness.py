"""Check by its INFO whether a Redis server is suitable for this program. Pure, except `read_facts`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import NoPermissionError


class ServerFacts(NamedTuple):
    """INFO of a server. `product`: its name if it is neither Redis nor Valkey; else empty.

    `name`: Redis or Valkey. `max_bytes` 0: no limit. `is_linked`: a replica is connected to its master. `is_readable`:
    whether this user may run INFO.
    """

    version: str = ""
    product: str = ""
    mode: str = ""
    used_bytes: int = 0
    max_bytes: int = 0
    policy: str = ""
    append_only: bool = False
    is_replica: bool = False
    is_linked: bool = True
    is_readable: bool = True
    name: str = "Redis"

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> ServerFacts:
        return cls(
            version=str(info.get("valkey_version") or info.get("redis_version", "")),
            product="Dragonfly" if "dragonfly_version" in info else "",
            mode=str(info.get("redis_mode", "")),
            used_bytes=int(info.get("used_memory", 0)),
            max_bytes=int(info.get("maxmemory", 0)),
            policy=str(info.get("maxmemory_policy", "")),
            append_only=bool(info.get("aof_enabled")),
            is_replica=info.get("role") == "slave",
            is_linked=info.get("master_link_status", "up") == "up",
            name="Valkey" if "valkey_version" in info else "Redis",
        )


def read_facts(client: Redis) -> ServerFacts:
    """Run INFO. Raises redis errors, except for missing permission."""
    try:
        return ServerFacts.from_info(client.info())
    except NoPermissionError:
        return ServerFacts(is_readable=False)


def behind_of(server: ServerFacts) -> str:
    """Why data read from `server` may be stale; empty unless it is a replica."""
    if not server.is_replica:
        return ""
    behind = "may be behind its master" if server.is_linked else "has lost its master, and is behind it"
    return f"this Redis is a replica, which {behind}"


def unfit(server: ServerFacts) -> Iterator[str]:
    """Reasons why `server` is unsuitable; none if it is suitable."""
    if not server.is_readable:
        yield "cannot check whether Redis keeps its data (no permission for INFO): allow its user +info"
    if server.mode == "cluster":
        yield "Redis runs as a cluster, but the scripts need keys of several nodes: use one server, or Sentinels"
    if behind := behind_of(server):
        yield f"{behind} and takes no writes: set REDIS_URL to the master, or Sentinels"
    if server.product:
        yield f"{server.product} is not Redis, and the scripts of this program are untested on it: use Redis or Valkey"
    if server.policy and server.policy != "noeviction":
        yield f"Redis may evict candles (maxmemory-policy {server.policy}): set it to noeviction"
