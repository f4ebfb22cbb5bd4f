"""Name of the Redis connections of a process, as shown by CLIENT LIST. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

OURS = "candlewick"


def name_of(arguments: Sequence[str]) -> str:
    """`candlewick-` and the name of the process with this command line: `ingest`, `web`, a worker's, `status` …"""
    words = [word for word in arguments[1:] if word not in ("-m", "workers")]
    role = words[0] if words else ""
    if role == "worker" and "-n" in words[:-1]:
        role = words[words.index("-n") + 1].partition("@")[0]
    elif "flower" in words:
        role = "flower"
    return f"{OURS}-{role}" if re.fullmatch(r"[a-z0-9_-]{1,40}", role) else OURS
