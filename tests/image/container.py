"""A service as `docker compose` starts it: read-only root, other user, no capability, no new rights."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

import psutil

from tests.image.build import Image
from tests.image.compose import Service
from tests.support import Process, eventually

GIVEN_UP = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")
"""What the sandbox needs to become another user without any capability."""


class Container:
    """A running service. `process` is that of its command; the first one of its namespace is the sandbox's own."""

    def __init__(self, image: Image, service: Service, hosts: Path, log: Path) -> None:
        """`hosts`: the file of host names, in which services have addresses."""
        self._variables = image.environment | service.environment
        self._health = service.health or image.health
        self._user, self._group = image.user.split(":")
        confined = ["setpriv", f"--reuid={self._user}", f"--regid={self._group}", "--clear-groups", "--no-new-privs"]
        confined += ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"]
        command = [*image.entrypoint, *(service.command or image.command)]
        sandbox = _sandbox(image, service.name, {"/etc/hosts": hosts, **service.files}, self._variables)
        self._sandbox = Process([*sandbox, *confined, *command], log)
        self.process: psutil.Process = eventually(self._find)

    def _find(self) -> psutil.Process | None:
        """The command: the child of the first process in the sandbox."""
        first = psutil.Process(self._sandbox.pid).children()
        return next((child for parent in first for child in parent.children()), None)

    def check_health(self) -> int:
        """The exit code of its health check, which runs inside, as the same user."""
        spaces = ("--mount", "--pid", "--uts", "--ipc", f"--setuid={self._user}", f"--setgid={self._group}")
        inside = ["nsenter", "--target", str(self.process.pid), *spaces, "--wd=/", "--", *self._health]
        return subprocess.run(inside, env=self._variables, check=False).returncode

    def rights(self) -> dict[str, str]:
        """Its user, its capabilities, and whether it can get new rights, as the kernel says."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8").splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        (user,) = set(status["Uid"].split())
        return {"Uid": user} | {name: status[name] for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs")}

    def writable(self) -> set[str]:
        """Mounted folders in which files can be written."""
        rows = Path(f"/proc/{self.process.pid}/mounts").read_text(encoding="utf-8").splitlines()
        options = {row.split()[1]: row.split()[3].split(",") for row in rows}
        return {path for path, flags in options.items() if "rw" in flags}

    def output(self) -> str:
        return self._sandbox.output()

    def stop(self) -> int:
        """SIGTERM to the command, if it runs; its exit code, which the sandbox passes on."""
        if self.is_running():
            self.process.terminate()
        return self._sandbox.wait()

    def is_running(self) -> bool:
        return self._sandbox.returncode is None

    def end(self) -> None:
        self._sandbox.end()


def _sandbox(image: Image, name: str, files: dict[str, Path], variables: dict[str, str]) -> list[str]:
    """The command that starts another in the root of `image`, in which only /tmp can be written."""
    folders = dict.fromkeys(str(PurePosixPath(path).parent) for path in files if not path.startswith("/etc/hosts"))
    arguments = ["bwrap", "--ro-bind", str(image.root), "/", "--dev", "/dev", "--proc", "/proc"]
    for folder in ("/tmp", "/run", *folders):
        arguments += ["--perms", "1777" if folder == "/tmp" else "0755", "--tmpfs", folder]
    for path, file in files.items():
        arguments += ["--ro-bind", str(file), path]
    for folder in ("/run", *folders):
        arguments += ["--remount-ro", folder]
    arguments += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", name, "--die-with-parent"]
    arguments += ["--chdir", image.folder, "--clearenv"]
    arguments += [part for right in GIVEN_UP for part in ("--cap-add", right)]
    return arguments + [part for pair in variables.items() for part in ("--setenv", *pair)]
