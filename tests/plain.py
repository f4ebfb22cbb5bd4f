"""HTTP without encryption, for servers of this machine: reading certificates would take a client 30 ms."""

from __future__ import annotations

from functools import partial

import httpx

PATIENT_S = 40.0
"""Timeout of a request, unless a test sets one: ten times what a busy machine needs."""

Client = partial(httpx.Client, verify=False, timeout=PATIENT_S)
get = partial(httpx.get, verify=False, timeout=PATIENT_S)
head = partial(httpx.head, verify=False, timeout=PATIENT_S)
post = partial(httpx.post, verify=False, timeout=PATIENT_S)
stream = partial(httpx.stream, verify=False, timeout=PATIENT_S)
