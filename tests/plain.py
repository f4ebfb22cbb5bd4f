"""HTTP without encryption, for servers of this machine: reading certificates would take a client 30 ms."""

from __future__ import annotations

from functools import partial

import httpx

from tests.support import PATIENCE_S

Client = partial(httpx.Client, verify=False, timeout=PATIENCE_S)
get = partial(httpx.get, verify=False, timeout=PATIENCE_S)
head = partial(httpx.head, verify=False, timeout=PATIENCE_S)
post = partial(httpx.post, verify=False, timeout=PATIENCE_S)
stream = partial(httpx.stream, verify=False, timeout=PATIENCE_S)
