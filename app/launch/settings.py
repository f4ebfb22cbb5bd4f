"""Settings of a launch, in addition to those of every process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Self

from pydantic import Field

from app.errors import InvalidInput
from app.settings import Settings
from app.util.quoting import MAX_NAME, readable


class LaunchSettings(Settings):
    """One field per setting; the environment variable is the field's name in capitals."""

    launch_redis_max_memory: str = Field(
        "1gb", pattern=r"^[1-9]\d*(mb|gb)$", description="Memory that the embedded Redis may use."
    )
    launch_exchange_port: int = Field(8900, ge=1, le=65535, description="Port of the demo's local exchange.")
    launch_exchange_speed: float = Field(60.0, ge=0.01, le=3600, description="Speed of its market; 1 is real time.")
    launch_exchange_seed: int = Field(7, ge=0, description="Seed that determines its market.")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """As in every process; `InvalidInput` also if a variable that starts with LAUNCH_ is not a setting."""
        environ = os.environ if environ is None else environ
        settings = super().from_environment(environ)
        known = {name.upper() for name in cls.model_fields}
        if unknown := sorted(key for key in environ if key.startswith("LAUNCH_") and key not in known):
            own = ", ".join(sorted(key for key in known if key.startswith("LAUNCH_")))
            raise InvalidInput(
                f"settings are wrong:\n  {readable(unknown[0], MAX_NAME)}: no such setting; there are {own}"
            )
        return settings
