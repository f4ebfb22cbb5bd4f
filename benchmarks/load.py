"""Requests per second of a server, and their latency: measured with `wrk` if it is installed, else with our own client
in its own process (python -m benchmarks.load PORT PATHS CONNECTIONS SECONDS PAUSE_MS prints its result).
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.support import ROOT

WRK = shutil.which("wrk")

CLIENT = "wrk" if WRK else "our own client (wrk is not installed; ours takes more of the machine)"

SCRIPT = """
local paths, at = {}, 0
for path in io.lines("%s") do paths[#paths + 1] = path end
request = function()
  at = at %% #paths + 1
  return wrk.format("GET", paths[at])
end
delay = function() return %d end
done = function(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("RESULT %%d %%d %%d %%f", summary.requests, failed, summary.duration, latency:percentile(99)))
end
"""


class Load(NamedTuple):
    """`p99_ms`: latency of requests, 99th percentile."""

    per_second: float
    p99_ms: float


def load(port: int, paths: Sequence[str], *, connections: int, seconds: float, pause_ms: int = 0) -> Load:
    """Request `paths` in turn over `connections`, each of which pauses before its next request.

    Without a pause the server is never idle, and a request mostly waits for the others. Raises `RuntimeError` if a
    response is not 200.
    """
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "paths")
        listed.write_text("".join(f"{path}\n" for path in paths))
        Path(folder, "script.lua").write_text(SCRIPT % (listed, pause_ms))
        options = [WRK, "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "-s", str(Path(folder, "script.lua"))]
        command = [
            sys.executable,
            "-m",
            "benchmarks.load",
            str(port),
            str(listed),
            *map(str, (connections, seconds, pause_ms)),
        ]
        told = subprocess.run(
            [*options, f"http://127.0.0.1:{port}"] if WRK else command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+)", told)
    if not found or int(found[2]):
        raise RuntimeError(f"some requests were not answered with 200:\n{told}")
    return Load(int(found[1]) / int(found[3]) * 1e6, float(found[4]) / 1000)


async def _ask(port: int, paths: Iterator[str], until_s: float, pause_s: float) -> tuple[list[float], int]:
    """Latency of each request of one connection (µs), and the number of responses other than 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    waited, failed = [], 0
    while (began := time.perf_counter()) < until_s:
        writer.write(f"GET {next(paths)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        waited.append((time.perf_counter() - began) * 1e6)
        failed += not head.startswith(b"HTTP/1.1 200")
        await asyncio.sleep(pause_s)
    writer.close()
    return waited, failed


async def _main(port: int, paths: Sequence[str], connections: int, seconds: float, pause_s: float) -> None:
    began, turns = time.perf_counter(), cycle(paths)
    seen = await asyncio.gather(*(_ask(port, turns, began + seconds, pause_s) for _ in range(connections)))
    waited = np.concatenate([np.array(one) for one, _ in seen])
    took = (time.perf_counter() - began) * 1e6
    print(f"RESULT {len(waited)} {sum(failed for _, failed in seen)} {took:.0f} {np.quantile(waited, 0.99):f}")


if __name__ == "__main__":
    port, listed, *numbers = sys.argv[1:]
    connections, seconds, pause_ms = map(float, numbers)
    asyncio.run(_main(int(port), Path(listed).read_text().split(), int(connections), seconds, pause_ms / 1000))
