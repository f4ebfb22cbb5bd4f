"""Executes the steps of a Dockerfile in folders: one root for each stage."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.image.dockerfile import Stage, Step, ignore_patterns, is_sent, parse
from tests.support import ROOT

SUITES = {"debian:bookworm-slim": "bookworm"}
"""Images to begin with, and the suite that debootstrap makes in their place."""

CERTIFICATES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL")
"""Variables of this machine that a build may use, as `docker build` uses the settings of its daemon."""


@dataclass
class Image:
    """A root folder, and how processes start in it."""

    root: Path
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"}
    )
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def build(dockerfile: Path, context: Path, folder: Path) -> Image:
    """The image of the last stage, in `folder`. What each step prints goes to stdout."""
    made: dict[str, Image] = {}
    stages = parse(dockerfile.read_text(encoding="utf-8"))
    for stage in stages:
        root = folder / stage.name
        before = made.get(stage.base)
        _copy(before.root if before else debian(SUITES[stage.base], folder.parent), root)
        image = Image(root, dict(before.environment)) if before else Image(root)
        _execute(stage, image, context, made)
        made[stage.name] = image
    return made[stages[-1].name]


def debian(suite: str, folder: Path) -> Path:
    """A minimal Debian, made once."""
    root = folder / suite
    if not root.exists():
        half = folder / f"{suite}.unfinished"
        shutil.rmtree(half, ignore_errors=True)
        print(f"--- debootstrap {suite}", flush=True)
        subprocess.run(["debootstrap", "--variant=minbase", suite, half], check=True, stdout=subprocess.DEVNULL)
        half.rename(root)
    return root


def _execute(stage: Stage, image: Image, context: Path, made: Mapping[str, Image]) -> None:
    for step in stage.steps:
        print(f"--- {stage.name}: {step.name} {step.text}", flush=True)
        match step.name:
            case "RUN":
                _run(image, step.text)
            case "COPY":
                _copy_step(step, image, context, made)
            case "ENV":
                known = image.environment
                values = dict(word.split("=", 1) for word in step.words)
                known |= {name: value.replace("$PATH", known["PATH"]) for name, value in values.items()}
            case "WORKDIR":
                image.folder = step.text
                (image.root / step.text[1:]).mkdir(parents=True, exist_ok=True)
            case "USER":
                image.user = step.text
            case "ENTRYPOINT":
                image.entrypoint = step.words
            case "CMD":
                image.command = step.words
            case "HEALTHCHECK":
                image.health = step._replace(text=step.text.removeprefix("CMD ")).words


def _run(image: Image, command: str) -> None:
    with _certificates() as (binds, named):
        outside = {name: os.environ[name] for name in PROXIES if name in os.environ}
        variables = {**outside, **named, **image.environment, "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            [
                *(
                    "bwrap",
                    "--bind",
                    str(image.root),
                    "/",
                    "--dev",
                    "/dev",
                    "--proc",
                    "/proc",
                    "--perms",
                    "1777",
                    "--tmpfs",
                    "/tmp",
                ),
                *("--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf", *binds, "--chdir", image.folder),
                *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--cap-add", "ALL"),
                *("--clearenv", *(part for pair in variables.items() for part in ("--setenv", *pair))),
                *("/bin/sh", "-c", command),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode:
        raise SystemExit(f"the step failed with exit code {done.returncode}: {command}")


@contextmanager
def _certificates() -> Iterator[tuple[list[str], dict[str, str]]]:
    """Mounts and variables for the authorities of this machine, if it names a file of them."""
    file = next((os.environ[name] for name in CERTIFICATES if name in os.environ), "")
    inside = "/media/certificates.pem"
    yield (["--tmpfs", "/media", "--ro-bind", file, inside], dict.fromkeys(CERTIFICATES, inside)) if file else ([], {})


def _copy_step(step: Step, image: Image, context: Path, made: Mapping[str, Image]) -> None:
    *sources, target = step.words
    into = image.root / os.path.join(image.folder, target)[1:]
    if "from" in step.flags:
        (source,) = sources
        _copy(made[step.flags["from"]].root / source[1:], into)
        return
    patterns = ignore_patterns((context / ".dockerignore").read_text(encoding="utf-8"))
    for name in _files(context):
        if is_sent(name, patterns) and any(source == "." or name.is_relative_to(source) for source in sources):
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(context / name, into / name)


def _files(context: Path) -> list[PurePosixPath]:
    """Every file in the project's folder but those of Git and of virtual environments, which are many."""
    found = []
    for folder, folders, names in os.walk(context):
        folders[:] = [name for name in folders if name not in (".git", ".venv", "var")]
        found += [PurePosixPath(os.path.relpath(os.path.join(folder, name), context)) for name in names]
    return found


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--archive", "--reflink=auto", source, target], check=True)


DOCKERFILE = ROOT / "deploy/Dockerfile"
