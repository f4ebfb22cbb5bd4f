"""Receives alerts over HTTP: checks the signature and the age of each request, and drops repeated ones.

HOOK_SECRET=a-secret python examples/webhook.py 9000
"""

import hashlib
import hmac
import json
import os
import sys
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ["HOOK_SECRET"].encode()
MAX_AGE_S, MAX_BYTES = 300, 1_000_000
seen: deque[str] = deque(maxlen=10_000)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """2xx: not sent again. 401: the channel is disabled until its secret is changed. Others: sent again later."""
        length = int(self.headers.get("Content-Length", MAX_BYTES + 1))
        body = self.rfile.read(length) if length <= MAX_BYTES else b""
        if not self.is_genuine(body):
            self.send_error(401, "wrong signature, or too old")
            return
        if (identity := self.headers["Idempotency-Key"]) not in seen:
            seen.append(identity)
            print(json.dumps({"id": identity, "title": json.loads(body)["title"]}) + "\n", end="", flush=True)
        self.send_response(204)
        self.end_headers()

    def is_genuine(self, body: bytes) -> bool:
        sent, signature = (self.headers.get(f"X-Candlewick-{name}", "") for name in ("Timestamp", "Signature"))
        expected = "sha256=" + hmac.new(SECRET, f"{sent}.".encode() + body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.encode()) and abs(time.time() - int(sent)) < MAX_AGE_S


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
