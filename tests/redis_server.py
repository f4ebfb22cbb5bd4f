"""A Redis server of a test or a benchmark, as a child of this process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from app.errors import Unready
from app.launch.parent_death import exits_with_parent
from app.launch.redis import command_line, find_server, wait_ready
from app.storage.connection import connect
from tests.support import PATIENCE_S


class RedisServer:
    """A server as a child of this process. It runs for the `with` block, at most as long as the thread that started
    it. Its log goes to `folder`/redis.log.
    """

    def __init__(self, folder: Path, port: int, environ: Mapping[str, str] = os.environ) -> None:
        self.url = f"redis://127.0.0.1:{port}/0"
        self.log = folder / "redis.log"
        self._command = command_line(find_server(environ), port, folder)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process id; `Unready` while it does not run."""
        if self._process is None:
            raise Unready("this Redis is not running")
        return self._process.pid

    def start(self) -> None:
        """Start it with its data on disk, wait until it answers; `Unready` with the end of its log if it does not."""
        with self.log.open("ab") as log:
            process = self._process = subprocess.Popen(
                exits_with_parent(self._command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_ready(self.url, alive=lambda: process.poll() is None, seconds=PATIENCE_S)
            if _pid(self.url) != process.pid:
                raise Unready(f"another server answers at {self.url}")
        except Unready as error:
            self.stop()
            raise Unready(f"{error}\n{self.log.read_text()[-2000:]}") from None

    def stop(self) -> None:
        """Stop it cleanly, its data on disk; a server that does not exit is killed."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """Kill it, like a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _pid(url: str) -> int:
    with connect(url) as client:
        return int(client.info("server")["process_id"])
