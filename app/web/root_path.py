"""The path below which a reverse proxy serves everything, such as `/candlewick`. A proxy may keep it or remove it."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import InvalidInput
from app.web.page import NAVIGATION

FOLDERS = ("/product", "/static", "/openapi.json")
"""First parts of our own paths that are neither in the description of the API nor in the navigation."""


def install(app: FastAPI, root: str) -> None:
    """Serve `app` below `root`, too; nothing changes if it is empty. Raises `InvalidInput` if `root` is a path of ours:
    whether a proxy has removed it would be unknown.
    """
    if not root:
        return
    own = {path.split("/")[1] for path in (*app.openapi()["paths"], *NAVIGATION, *FOLDERS)}
    if root.split("/")[1] in own:
        raise InvalidInput(
            f"CANDLEWICK_WEB_ROOT_PATH={root} begins like a path of this server; choose another, like /candlewick"
        )
    app.add_middleware(RootPathMiddleware, root=root)


class RootPathMiddleware:
    """Middleware that accepts each path with `root` before it and without, and passes it on with it, as ASGI asks."""

    def __init__(self, app: ASGIApp, root: str) -> None:
        self._app = app
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            kept = path == self._root or path.startswith(f"{self._root}/")
            scope = {**scope, "root_path": self._root, "path": path if kept else self._root + path}
        await self._app(scope, receive, send)


def route_path(scope: Scope) -> str:
    """The path of a request as the routes name it: without the root."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))
