"""The OpenAPI description, made once per test process because it takes a moment."""

from __future__ import annotations

from typing import Any

from app.context import Context
from app.settings import Settings
from app.web.app import create_app

APP = create_app(Context(Settings()))
DESCRIPTION: dict[str, Any] = APP.openapi()
