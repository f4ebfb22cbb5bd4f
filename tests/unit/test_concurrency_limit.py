"""Requests over the bound are refused at once; liveness is always answered."""

from __future__ import annotations

import asyncio
import json

from starlette.types import Message, Receive, Scope, Send

from app.web.concurrency_limit import ConcurrencyLimitMiddleware


class Slow:
    """An application that waits for `finish`."""

    def __init__(self) -> None:
        self.finish = asyncio.Event()

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        del receive
        await self.finish.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def answer(app: ConcurrencyLimitMiddleware, path: str) -> tuple[int, bytes]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "path": path, "method": "GET", "headers": []}, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def several() -> tuple[list[int], bytes, int]:
    slow = Slow()
    app = ConcurrencyLimitMiddleware(slow, at_once=2)
    running = [asyncio.create_task(answer(app, "/v1/status")) for _ in range(2)]
    await asyncio.sleep(0)
    _, refusal = await answer(app, "/v1/status")
    liveness = asyncio.create_task(answer(app, "/healthz"))
    slow.finish.set()
    statuses = [status for status, _ in await asyncio.gather(*running, liveness)]
    return statuses, refusal, (await answer(app, "/v1/status"))[0]


def test_the_bound_holds_and_is_released() -> None:
    statuses, refusal, later = asyncio.run(several())
    assert statuses == [200, 200, 200]
    assert json.loads(refusal)["error"] == {"code": "busy", "message": "too many requests at once", "retry_after_s": 1}
    assert later == 200
