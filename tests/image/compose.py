"""deploy/compose.yaml as services, checked by an implementation of the Compose specification."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import yaml
from compose_spec import PyCompose

from tests.support import ROOT

COMPOSE = ROOT / "deploy/compose.yaml"

CONFINED = {
    "restart": "unless-stopped",
    "init": True,
    "read_only": True,
    "tmpfs": ["/tmp"],
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
"""What every service must have. `Container` executes it: it offers nothing weaker."""


class Service(NamedTuple):
    name: str
    command: list[str]
    environment: dict[str, str]
    files: dict[str, Path]
    """Secrets and configuration: the file on the host by its path in the container."""
    health: list[str]


def services(text: str, folder: Path) -> dict[str, Service]:
    """The services by name. `folder`: what file names are relative to. Raises `ValueError` if the file is invalid."""
    whole = yaml.safe_load(text)  # it merges the anchors, too
    PyCompose.from_yaml(yaml.safe_dump(whole)).validate()
    return {name: _service(name, about, whole, folder) for name, about in whole["services"].items()}


def _service(name: str, about: dict[str, Any], whole: dict[str, Any], folder: Path) -> Service:
    weak = {key: about.get(key) for key, value in CONFINED.items() if about.get(key) != value}
    if weak:
        raise ValueError(f"service {name} is not confined: {weak}")
    secrets = {f"/run/secrets/{s}": folder / whole["secrets"][s]["file"] for s in about.get("secrets", [])}
    configs = {c["target"]: folder / whole["configs"][c["source"]]["file"] for c in about.get("configs", [])}
    command = about["command"]
    return Service(
        name=name,
        command=command.split() if isinstance(command, str) else command,
        environment={key: str(value) for key, value in about.get("environment", {}).items()},
        files=secrets | configs,
        health=about.get("healthcheck", {}).get("test", [])[1:],
    )
