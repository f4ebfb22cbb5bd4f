"""Parts of a launch, computed before anything is started: programs, their environment, ports, folders."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from app.bind_checks import check_flower, check_web
from app.errors import InvalidInput
from app.launch import places, procfile
from app.launch.ports import LOOPBACK, Port, local_url
from app.launch.redis import command_line, find_server
from app.launch.sockets import socket_path
from app.settings import Settings
from app.settings.names import CONFIG, variable
from app.storage.address import Address


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
    settings: Settings
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
        return local_url(self.settings.web_host, self.settings.web_port)

    @property
    def flower_url(self) -> str:
        return local_url(self.settings.flower_address, self.settings.flower_port)

    @property
    def exchange_url(self) -> str:
        return _exchange_url(self.settings)


def make(market: ExchangeChoice, own: Path | None, folder: Path | None, environ: Mapping[str, str]) -> Plan:
    """The launch of `market`. Nothing is started or written.

    `own`: the user's own Procfile; its processes run in its folder, and `var/` there is the default of `folder`.
    Raises `InvalidInput` if a setting, the Procfile or the Redis server is wrong.
    """
    root = own.resolve().parent if own else Path.cwd()
    programs = procfile.read(own or places.PROCFILE)
    folder = (folder or (root / "var" / market if own else places.data_folder(market))).resolve()
    local = market is ExchangeChoice.LOCAL
    ours = _demo(Settings.from_environment(environ)) if local else {}
    settings = Settings.from_environment({**environ, **ours})
    check_web(settings)
    check_flower(settings)
    for name in {"redis", "exchange"} & set(programs):
        raise InvalidInput(f"{own or places.PROCFILE}: {name!r} is reserved by the launcher; rename the process")
    exchange = {"exchange": _exchange(settings, folder)} if local else {}
    embedded = ("redis_url",) not in settings.reading.origins
    if embedded:
        url = Address("unix", socket=str(redis_socket(folder))).url
        settings = settings.model_copy(update={"redis_url": url})
        ours |= {variable(("redis_url",)): url}
    return Plan(
        market=market,
        origin=f"local exchange, seed {settings.launch_exchange_seed}" if local else _exchange_url(settings),
        settings=settings,
        root=root,
        folder=folder,
        environ=_environment(settings, ours),
        programs={**exchange, **programs},
        redis=_redis(settings, folder, environ) if embedded else None,
        ports=_ports(settings, local=local),
    )


def _demo(settings: Settings) -> dict[str, str]:
    """The demo's variables: always its own exchange, and all of its products unless others are set."""
    place = f"{LOOPBACK}:{settings.launch_exchange_port}"
    ours: dict[str, str] = {}
    for name in settings.exchanges:
        ours |= {variable((name, "ws_url")): f"ws://{place}", variable((name, "rest_url")): f"http://{place}"}
        if (name, "products") not in settings.reading.origins:
            ours[variable((name, "products"))] = "all:USD"
    return ours


def _exchange_url(settings: Settings) -> str:
    return settings.exchange(settings.exchanges[0]).rest_url


def _exchange(settings: Settings, folder: Path) -> str:
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


def _redis(settings: Settings, folder: Path, environ: Mapping[str, str]) -> str:
    data, listens = folder / "redis", redis_socket(folder)
    server = find_server(environ, data, settings.launch_redis_server)
    return shlex.join(command_line(server, listens, data, settings.launch_redis_max_memory))


def _environment(settings: Settings, ours: Mapping[str, str]) -> dict[str, str]:
    """The environment of every program: the launcher's with its `.env`, and `ours`.

    The programs may run in another folder, so their file of settings has its whole path.
    """
    variables, file = settings.reading.secrets.variables, settings.reading.file
    return {
        **places.own_environment(variables),
        "PYTHONUNBUFFERED": "1",
        **({CONFIG: os.path.abspath(file)} if file else {}),
        **ours,
    }


def _ports(settings: Settings, *, local: bool) -> tuple[Port, ...]:
    ports = [
        Port(settings.web_host, settings.web_port, "dashboard and API", "CANDLEWICK_WEB_PORT"),
        Port(settings.flower_address, settings.flower_port, "Flower", "CANDLEWICK_FLOWER_PORT"),
    ]
    if local:
        ports.append(Port(LOOPBACK, settings.launch_exchange_port, "local exchange", "CANDLEWICK_LAUNCH_EXCHANGE_PORT"))
    return tuple(ports)
