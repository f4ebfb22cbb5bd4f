"""`make image-test`: builds the image, starts every service of deploy/compose.yaml in it, and checks each of them."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.launch.redis import find_server, wait_ready
from tests import plain
from tests.image.build import DOCKERFILE, Image, build
from tests.image.compose import COMPOSE, Service, services
from tests.image.container import Container
from tests.support import ROOT, Process, eventually

NEEDED = {"debootstrap": "debootstrap", "bwrap": "bubblewrap", "nsenter": "util-linux", "ip": "iproute2"}
FOLDER = ROOT / "var/image"
TOKEN, LOGIN = "image-test-token-of-31-letters!", "operator:image-test"
SIMULATOR, REDIS, WEB = 8900, 6379, "http://127.0.0.1:8000"
CLONE_NEWNET = 0x40000000
NO_RIGHTS = {"Uid": "10001", "CapEff": "0" * 16, "CapPrm": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}

SETTINGS = f"""
[coinbase]
ws_url = "ws://127.0.0.1:{SIMULATOR}"
rest_url = "http://127.0.0.1:{SIMULATOR}"
products = ["BTC-USD", "ETH-USD", "SOL-USD"]
"""


def main() -> int:
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        print(f"make image-test needs root, and: apt install {' '.join(missing or NEEDED.values())}", file=sys.stderr)
        return 2
    shutil.rmtree(FOLDER / "stages", ignore_errors=True)
    image = build(DOCKERFILE, ROOT, FOLDER / "stages")
    _enter_own_network()
    with tempfile.TemporaryDirectory(prefix="candlewick-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _installation(image, folder) as running:
            _check(running)
            exits = {name: container.stop() for name, container in running.items()}
    print(f"--- exit codes after SIGTERM: {exits}")
    assert set(exits.values()) == {0}, exits
    print("--- the image works: built, confined, ready, healthy, a stalled process ended, stopped in order")
    return 0


def _enter_own_network() -> None:
    """A network with nothing but loopback, which no other process uses."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot make a network namespace")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


@contextmanager
def _installation(image: Image, folder: Path) -> Iterator[Mapping[str, Container]]:
    """Every service of the compose file but Redis, which is a real one of this machine with the service's arguments."""
    found = services(COMPOSE.read_text(encoding="utf-8"), folder)
    (folder / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *found)))
    (folder / "secrets").mkdir()
    (folder / "secrets/candlewick_web_token").write_text(f"{TOKEN}\n")
    (folder / "secrets/candlewick_flower_basic_auth").write_text(f"{LOGIN}\n")
    (folder / "candlewick.toml").write_text(SETTINGS)
    with ExitStack() as stack:
        simulator = [sys.executable, "-m", "simulator", "--port", str(SIMULATOR), "--speed", "60", "--seed", "7"]
        for number, command in enumerate((simulator, _redis(found.pop("redis"), folder))):
            process = Process(command, folder / f"outside-{number}.log")
            stack.callback(process.end)
        wait_ready(f"redis://127.0.0.1:{REDIS}/0")
        running: dict[str, Container] = {}
        for name, service in found.items():
            running[name] = Container(image, service, folder / "hosts", folder / f"{name}.log")
            stack.callback(running[name].end)
        try:
            yield running
        except BaseException:
            for name, container in running.items():
                print(f"--- {name}\n{container.output()[-2000:]}")
            raise


def _redis(service: Service, folder: Path) -> list[str]:
    _, *arguments = service.command
    return [str(find_server(os.environ)), *arguments, "--dir", str(folder), "--bind", "127.0.0.1"]


def _check(running: Mapping[str, Container]) -> None:
    token = {"Authorization": f"Bearer {TOKEN}"}
    eventually(lambda: plain.get(f"{WEB}/readyz", headers=token).status_code == 200, interval=0.5)
    print(f"--- /readyz: {plain.get(f'{WEB}/readyz', headers=token).json()}")
    assert plain.get(f"{WEB}/v1/products").status_code == 401, "the token of the secret is required"
    assert plain.get("http://127.0.0.1:5555/healthcheck").status_code == 200
    assert plain.get("http://127.0.0.1:5555/workers").status_code == 401, "the login of the secret is required"
    for name, container in running.items():
        rights, writable = container.rights(), container.writable()
        print(f"--- {name}: {rights}, writable: {sorted(writable)}, health check: {container.check_health()}")
        assert rights == NO_RIGHTS, name
        assert writable <= {"/tmp", "/dev", "/proc", *(path for path in writable if path.startswith("/dev/"))}, name
        assert container.check_health() == 0, name
    stalled = running["ingest"]
    stalled.process.send_signal(signal.SIGSTOP)
    assert stalled.check_health() == 1
    eventually(lambda: not stalled.is_running())
    print("--- a stopped ingest: its health check failed and ended it, for the restart policy to start it again")


if __name__ == "__main__":
    sys.exit(main())
