"""The frame of every page: no build step, no other host, no inline script or style, phone to wide screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from fastapi import Response

NAVIGATION = {"/": "Overview", "/alerts": "Alerts", "/health": "Health", "/docs": "API"}


def page(
    title: str,
    main: str,
    *,
    here: str = "",
    root: str = ".",
    modules: Sequence[str] = (),
    scripts: Iterable[str] = (),
    asks: Iterable[str] = (),
    data: Mapping[str, str] | None = None,
) -> Response:
    """A whole page around `main`: HTML in which all external data is escaped.

    `here`: the page's entry in the navigation. `root`: the relative address of the overview, `..` for a page in a
    folder: links are relative, so that they work below any path of a reverse proxy. `scripts` and `modules`: names in
    /static/; the first module is run, the others are its imports. `asks`: the paths that it requests first; they are
    preloaded in parallel. `data`: values for the modules, as attributes of the body.
    """
    told = "".join(f' data-{name}="{escape(value)}"' for name, value in (data or {}).items())
    loaded = "".join(f'<script src="{root}/static/{name}" defer></script>' for name in scripts)
    loaded += "".join(f'<link rel="preload" as="fetch" href="{root}{path}" crossorigin>' for path in asks)
    loaded += "".join(f'<script type="module" src="{root}/static/{name}"></script>' for name in modules[:1])
    loaded += "".join(f'<link rel="modulepreload" href="{root}/static/{name}">' for name in modules[1:])
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title>"
        f'<link rel="icon" href="{root}/static/icon.svg" type="image/svg+xml">'
        f'<link rel="stylesheet" href="{root}/static/app.css">'
        f'<script src="{root}/static/theme.js"></script>{loaded}</head>'
        f'<body{told}><a class="skip" href="#main">Skip to content</a>{_header(here, root)}'
        f'<main id="main" tabindex="-1">{main}</main></body></html>'
    )
    return Response(html, media_type="text/html", headers={"Cache-Control": "no-store"})


def _header(here: str, root: str) -> str:
    links = "".join(
        f'<a href="{root}{path}"{" aria-current=page" if path == here else ""}>{name}</a>'
        for path, name in NAVIGATION.items()
    )
    return (
        f'<header><a class="brand" href="{root}/"><img src="{root}/static/icon.svg" alt="" width="22" height="22">'
        f'<span>Candlewick</span></a><nav aria-label="Pages">{links}</nav>'
        '<span id="live" class="live" role="status"></span><span id="clock" class="clock" title="The exchange\'s time">'
        '<span id="date"></span> <span id="time"></span></span>'
        '<button id="theme" type="button" class="quiet" aria-label="Switch between dark and light">◐</button></header>'
    )
