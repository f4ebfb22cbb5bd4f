"""The frame of every page: no build step, no other host, dark and light, phone to wide screen."""

from __future__ import annotations

from html import escape

from fastapi import Response

STYLE = """
:root { color-scheme: light dark; --good: #1a8754; --bad: #c4352b;
  --line: color-mix(in srgb, currentColor 18%, transparent); --dim: color-mix(in srgb, currentColor 62%, transparent) }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.3rem; margin: .2rem 0 } h2 { font-size: 1.05rem; margin: 1.6rem 0 .4rem }
a { color: inherit } nav a { margin-right: 1rem } code { font-size: .92em }
.say { font-size: 1.1rem; padding: .5rem .8rem; border-left: 4px solid var(--bad); margin: 1rem 0 }
.say.ready { border-color: var(--good) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th:first-child, td:first-child, .text { text-align: left } .wrap { white-space: normal; min-width: 14rem }
.dim { color: var(--dim) } .up { color: var(--good) } .down { color: var(--bad) }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem }
summary { cursor: pointer }
form { display: flex; flex-wrap: wrap; gap: .6rem; align-items: end; margin: .6rem 0 }
label { display: flex; flex-direction: column; font-size: .85em }
input, button { font: inherit; padding: .2rem .4rem }
pre { overflow: auto; max-height: 24rem; padding: .6rem; border: 1px solid var(--line); border-radius: .4rem }
"""

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""The browser itself sees to it that a page asks no other host for anything."""


def page(title: str, body: str, *, script: str = "", status: int = 200) -> Response:
    """A whole page; `body` is HTML in which everything from outside has been escaped."""
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body>{body}<script>{script}</script></body></html>"
    )
    return Response(html, status_code=status, media_type="text/html", headers=HEADERS)
