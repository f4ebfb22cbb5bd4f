"""HTTP without encryption, for servers of this machine: a client reads no certificates, which takes it 30 ms."""

from __future__ import annotations

from functools import partial

import httpx

PATIENT_S = 40.0
"""Until a request is given up, if a test says nothing else: as long as ten times what a busy machine needs."""

Client = partial(httpx.Client, verify=False, timeout=PATIENT_S)
get = partial(httpx.get, verify=False, timeout=PATIENT_S)
head = partial(httpx.head, verify=False, timeout=PATIENT_S)
post = partial(httpx.post, verify=False, timeout=PATIENT_S)
stream = partial(httpx.stream, verify=False, timeout=PATIENT_S)
