"""Whether a Redis can keep what this program promises, by what it says of itself. Pure, but for `ask`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import NoPermissionError


class ServerFacts(NamedTuple):
    """What INFO says of a server. `product`: what it is, if it is neither Redis nor Valkey; empty if nothing is known.

    `name`: Redis or Valkey. `max_bytes` 0: no limit. `is_linked`: a replica hears its master. `is_told`: whether this
    user may ask at all.
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
    is_told: bool = True
    name: str = "Redis"

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> ServerFacts:
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


def ask(client: Redis) -> ServerFacts:
    """What the server says of itself. Raises redis' errors, but not for a user who may not ask."""
    try:
        return ServerFacts.of(client.info())
    except NoPermissionError:
        return ServerFacts(is_told=False)


def behind_of(server: ServerFacts) -> str:
    """Why what is read from `server` may be old; empty unless it is a replica."""
    if not server.is_replica:
        return ""
    behind = "may be behind its master" if server.is_linked else "has lost its master, and is behind it"
    return f"this Redis is a replica, which {behind}"


def unfit(server: ServerFacts) -> Iterator[str]:
    """Why the promises cannot be kept on it; nothing where they can."""
    if not server.is_told:
        yield "Redis does not say whether it keeps what it is given: allow its user +info"
    if server.mode == "cluster":
        yield "Redis runs as a cluster, which keeps keys apart that belong together: use one server, or Sentinels"
    if behind := behind_of(server):
        yield f"{behind} and takes no writes: set REDIS_URL to the master, or Sentinels"
    if server.product:
        yield f"{server.product} is not Redis: this program's scripts are not known to work there; use Redis or Valkey"
    if server.policy and server.policy != "noeviction":
        yield f"Redis may throw candles away (maxmemory-policy {server.policy}): set it to noeviction"
