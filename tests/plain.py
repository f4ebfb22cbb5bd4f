"""HTTP without encryption, for servers of this machine: a client reads no certificates, which takes it 30 ms."""

from __future__ import annotations

from functools import partial

import httpx

Client = partial(httpx.Client, verify=False)
get = partial(httpx.get, verify=False)
head = partial(httpx.head, verify=False)
post = partial(httpx.post, verify=False)
stream = partial(httpx.stream, verify=False)
