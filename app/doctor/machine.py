"""Checks of this machine: Redis, proxies, certificates, ports. Each takes what it needs, and returns findings."""

from __future__ import annotations

import os
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from statistics import median
from typing import Any

import requests
from redis import Redis
from redis.exceptions import RedisError

from app.doctor.examination import Examined
from app.doctor.finding import Finding, Verdict, verdict
from app.doctor.secrets import origin
from app.errors import CandlewickError
from app.exchange.stream_socket import ConnectionEnded, proxy_options
from app.launch.ports import Port, local_url, problem_of
from app.settings import Settings
from app.storage.connection import connect
from app.storage.fitness import ServerFacts, unfit
from app.storage.name import OURS
from app.util import network
from app.util.quoting import path_shown

OLDEST_REDIS = (6, 2)
NEEDED_CONNECTIONS = 36
"""Of all processes of a whole installation; `docs/operations.md` has each."""
MAX_LATENCY_MS = 10.0
_PINGS = 50
_TIMEOUT_S = 3.0
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def redis(settings: Settings) -> Iterator[Finding]:
    """The server that the settings name. If they name none, a launch starts one, and nothing has to run yet."""
    used_for = "All candles, alerts and queues are in Redis."
    shown, is_set = settings.redis.shown, "redis_url" in settings.model_fields_set
    try:
        with connect(settings.redis.url, timeout_s=_TIMEOUT_S, tries=0, connections=1) as client:
            client.ping()
            yield Finding("redis-reachable", used_for, shown, Verdict.HOLDS)
            yield from _server(client)
    except (RedisError, CandlewickError, OSError) as error:
        hint = "" if is_set else "; CANDLEWICK_REDIS_URL is not set, so a launch starts its own"
        yield Finding("redis-reachable", used_for, f"{shown}: {error}{hint}", verdict(is_set, False))


def _server(client: Redis) -> Iterator[Finding]:
    info: dict[str, Any] = client.info()
    facts = ServerFacts.from_info(info)
    version = tuple(map(int, re.findall(r"\d+", facts.version)[:2]))
    problems = list(unfit(facts))
    if facts.name == "Redis" and version < OLDEST_REDIS:
        problems.append(f"it is older than {'.'.join(map(str, OLDEST_REDIS))}")
    yield Finding(
        "redis-suitable",
        "Scripts need Redis or Valkey 6.2, one server, and a policy that never evicts.",
        f"{facts.name} {facts.version}, {facts.mode}, maxmemory-policy {facts.policy}"
        + "".join(f"; {problem}" for problem in problems),
        verdict(True, not problems),
    )
    yield Finding(
        "redis-persistence",
        "After a restart without its data, everything is fetched again, and alerts are lost.",
        f"append-only file {'on' if facts.append_only else 'off'}",
        verdict(True, facts.append_only),
    )
    took_ms = median(_ping_ms(client) for _ in range(_PINGS))
    yield Finding(
        "redis-latency",
        "A closed bucket takes several round trips to its indicators.",
        f"{took_ms:.2f} ms for a PING, the median of {_PINGS}",
        verdict(True, took_ms <= MAX_LATENCY_MS),
    )
    yield _clients(client, info)


def _ping_ms(client: Redis) -> float:
    began_s = time.perf_counter()
    client.ping()
    return (time.perf_counter() - began_s) * 1000


def _clients(client: Redis, info: dict[str, Any]) -> Finding:
    most = info.get("maxclients")
    if most is None:
        with suppress(RedisError):
            most = client.config_get("maxclients").get("maxclients")
    used, ours = int(info.get("connected_clients", 0)), 0
    with suppress(RedisError):
        ours = sum(str(one.get("name", "")).startswith(OURS) for one in client.client_list())
    seen = f"maxclients {'unknown' if most is None else most}, {used} connected, {ours} of them of this program"
    is_enough = most is not None and int(most) - (used - ours) >= NEEDED_CONNECTIONS
    used_for = f"A whole installation opens up to {NEEDED_CONNECTIONS} connections."
    return Finding("redis-maxclients", used_for, seen, verdict(most is not None, is_enough))


def proxy(examined: Examined) -> Finding:
    """The proxies of the environment, and whether the stream can use them."""
    found = {name: value for name in PROXIES if (value := os.environ.get(name) or os.environ.get(name.lower()))}
    shown = [f"{name} {value if name == 'NO_PROXY' else origin(value)}" for name, value in found.items()]
    problem = ""
    try:
        is_used = bool(proxy_options(examined.target.ws_url))
    except (ConnectionEnded, ValueError) as error:
        is_used, problem = True, f"; {error}"
    way = "the stream goes through a proxy" if is_used else "the stream connects directly"
    seen = ", ".join(shown) or "no proxy in the environment"
    used_for = "The stream and REST use the proxies of the environment; the stream needs one of http://."
    return Finding("proxy", used_for, f"{seen}; {way}{problem}", verdict(True, not problem))


def trust(examined: Examined) -> Finding:
    """The store of certificates, and whether the exchange's certificate was verified with it."""
    path = network.trusted()
    source = next((name for name in network.STORES if os.environ.get(name)), "Mozilla's (certifi)")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(path)
        seen = f"{source}, {path_shown(path)}: {context.cert_store_stats()['x509_ca']} authorities"
    except OSError as error:
        return _trust(f"{source}, {path_shown(path)}: {error.strerror or error}", Verdict.FAILS)
    if not examined.target.rest_url.startswith("https:"):
        return _trust(f"{seen}; the exchange is addressed without TLS", Verdict.UNSEEN)
    if not examined.rest_problem:
        return _trust(f"{seen}; the exchange's certificate was verified", Verdict.HOLDS)
    is_certificate = "certificate" in examined.rest_problem.lower()
    return _trust(f"{seen}; {examined.rest_problem}", verdict(is_certificate, False))


def _trust(seen: str, found: Verdict) -> Finding:
    return Finding("tls-trust", "The certificates of the stream and of REST are verified with this store.", seen, found)


def ports(settings: Settings) -> Iterator[Finding]:
    """Whether each server can listen, or listens already."""
    web = Port(settings.web_host, settings.web_port, "the API and the pages", "CANDLEWICK_WEB_PORT")
    flower = Port(settings.flower_address, settings.flower_port, "Flower", "CANDLEWICK_FLOWER_PORT")
    yield _port("port-web", web, "/healthz", '{"status":"alive"}')
    yield _port("port-flower", flower, "/healthcheck", "OK")


def _port(name: str, port: Port, path: str, alive: str) -> Finding:
    problem = problem_of(port)
    used_for = f"For {port.purpose} ({port.variable})."
    if problem is None:
        return Finding(name, used_for, f"{port.number} is free", Verdict.HOLDS)
    if _text(port, path) == alive:
        return Finding(name, used_for, f"{port.number} is used by this program", Verdict.HOLDS)
    return Finding(name, used_for, f"{port.number} {problem}", Verdict.FAILS)


def _text(port: Port, path: str) -> str:
    """What a server on this machine responds; empty without a response."""
    with suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False
        return session.get(f"{local_url(port.host, port.number)}{path}", timeout=_TIMEOUT_S).text.strip()
    return ""
