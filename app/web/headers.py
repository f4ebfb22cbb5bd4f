"""What every answer tells a browser, whoever made it: nothing from elsewhere, nowhere else, nothing guessed.

There is no Strict-Transport-Security: this server does not speak TLS, and without that a browser ignores it. Whatever
speaks TLS in front of it knows whether its whole host is HTTPS for good, and sets it.
"""

from __future__ import annotations

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
