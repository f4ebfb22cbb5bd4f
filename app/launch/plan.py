"""Parts of a launch, computed before anything is started: programs, their environment, ports, folders."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.alerts.settings import AlertSettings
from app.bind_checks import check_flower, check_web
from app.errors import InvalidInput
from app.launch import places, procfile
from app.launch.ports import Port
from app.launch.redis import command_line, find_server
from app.launch.settings import LaunchSettings
from app.launch.sockets import socket_path
from app.storage.address import Address, netloc

LOOPBACK = "127.0.0.1"


class ExchangeChoice(StrEnum):
    """Source of the prices."""

    LOCAL = "demo"
    REAL = "run"


@dataclass(frozen=True, slots=True)
class Plan:
    """A launch. `programs` are shell commands by name; `redis` is one too, None if Redis runs elsewhere."""

    market: ExchangeChoice
    origin: str
    """Origin of the prices in Redis: prices of two origins must never mix."""
    settings: LaunchSettings
    root: Path
    folder: Path
    environ: Mapping[str, str]
    programs: Mapping[str, str]
    redis: str | None
    ports: tuple[Port, ...]

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def data(self) -> Path:
        """Folder of the embedded Redis."""
        return self.folder / "redis"

    @property
    def web_url(self) -> str:
        return _url(self.settings.web_host, self.settings.web_port)

    @property
    def flower_url(self) -> str:
        return _url(self.settings.flower_address, self.settings.flower_port)

    @property
    def exchange_url(self) -> str:
        return self.settings.exchange_rest_url


def _url(host: str, port: int) -> str:
    """URL of a server on `host`, for this machine."""
    reachable = LOOPBACK if host in ("0.0.0.0", "::") else host
    return f"http://{netloc(reachable, port)}"


def make(market: ExchangeChoice, own: Path | None, folder: Path | None, environ: Mapping[str, str]) -> Plan:
    """The launch of `market`. Nothing is started or written.

    `own`: the user's own Procfile; its processes run in its folder, and `var/` there is the default of `folder`.
    Raises `InvalidInput` if a setting, the Procfile or the Redis server is wrong.
    """
    root = own.resolve().parent if own else places.root() or Path.cwd()
    programs = procfile.read(own or places.PROCFILE)
    folder = (folder or (root / "var" / market if own else places.data_folder(market))).resolve()
    local = market is ExchangeChoice.LOCAL
    settings = LaunchSettings.from_environment({**environ, **(_demo(environ) if local else {})})
    check_web(settings)
    check_flower(settings)
    AlertSettings.load(settings.alerts_file)
    for name in {"redis", "exchange"} & set(programs):
        raise InvalidInput(f"{own or places.PROCFILE}: {name!r} is reserved by the launcher; rename the process")
    exchange = {"exchange": _exchange(settings, folder)} if local else {}
    embedded = not environ.get("REDIS_URL")
    if embedded:
        url = Address("unix", socket=str(redis_socket(folder))).url
        settings = settings.model_copy(update={"redis_url": url})
    return Plan(
        market=market,
        origin=f"local exchange, seed {settings.launch_exchange_seed}" if local else settings.exchange_rest_url,
        settings=settings,
        root=root,
        folder=folder,
        environ=_environment(environ, settings),
        programs={**exchange, **programs},
        redis=_redis(settings, folder, environ) if embedded else None,
        ports=_ports(settings, local=local),
    )


def _demo(environ: Mapping[str, str]) -> dict[str, str]:
    """The demo's settings: always its own exchange, and all of its products unless PRODUCTS is set."""
    port = environ.get("LAUNCH_EXCHANGE_PORT") or LaunchSettings.model_fields["launch_exchange_port"].default
    return {
        "EXCHANGE_WS_URL": f"ws://{LOOPBACK}:{port}",
        "EXCHANGE_REST_URL": f"http://{LOOPBACK}:{port}",
        "PRODUCTS": environ.get("PRODUCTS") or "all:USD",
    }


def _exchange(settings: LaunchSettings, folder: Path) -> str:
    options = {
        "port": settings.launch_exchange_port,
        "speed": f"{settings.launch_exchange_speed:g}",
        "seed": settings.launch_exchange_seed,
        "anchor-file": folder / "market.json",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return shlex.join(["python", "-m", "simulator", *flags])


def redis_socket(folder: Path) -> Path:
    """Socket of the embedded Redis of the launch in `folder`. It has no port, which every local user could use."""
    return socket_path(folder / "redis", "redis.sock")


def _redis(settings: LaunchSettings, folder: Path, environ: Mapping[str, str]) -> str:
    data, listens = folder / "redis", redis_socket(folder)
    return shlex.join(command_line(find_server(environ, data), listens, data, settings.launch_redis_max_memory))


def _environment(environ: Mapping[str, str], settings: LaunchSettings) -> dict[str, str]:
    """The environment of every program: the launcher's, with its settings."""
    return {
        **places.own_environment(environ),
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": settings.redis_url,
        "EXCHANGE_WS_URL": settings.exchange_ws_url,
        "EXCHANGE_REST_URL": settings.exchange_rest_url,
        "PRODUCTS": ",".join(settings.products),
        "FLOWER_PORT": str(settings.flower_port),
    }


def _ports(settings: LaunchSettings, *, local: bool) -> tuple[Port, ...]:
    ports = [
        Port(settings.web_host, settings.web_port, "dashboard and API", "WEB_PORT"),
        Port(settings.flower_address, settings.flower_port, "Flower", "FLOWER_PORT"),
    ]
    if local:
        ports.append(Port(LOOPBACK, settings.launch_exchange_port, "local exchange", "LAUNCH_EXCHANGE_PORT"))
    return tuple(ports)
